import { access } from 'node:fs/promises';
import { PATIENTLY, startSshServer } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { consolidatedName, expectConsolidated, makeIncrement } from './consolidated.ts';
import { exportDirectory, makeWorkbench } from './workbench.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());

test('an incremental export in a directory becomes a plain full one, copied by the kernel', async () => {
  await using bench = await makeWorkbench();
  await expectConsolidated(bench, bench.store);
});

test('an incremental export on a peer becomes a plain full one, copied by its server', async () => {
  await using bench = await makeWorkbench();
  await expectConsolidated(bench, server.address(bench.store));
});

test('killed while it reads the new dump back, it leaves the old export; what it left is cleared, and it can be done again', async () => {
  await using bench = await makeWorkbench();
  const second = await makeIncrement(bench, bench.store);
  // Reading back takes ten seconds at this rate, copying nearly none.
  const running = bench.start('consolidate', bench.store, second, '--limit-rate', '4M');
  const dump = `${exportDirectory(bench, consolidatedName(second))}/disk0.zst`;
  const exists = (): Promise<boolean> =>
    access(dump).then(
      () => true,
      () => false,
    );
  await expect.poll(exists, PATIENTLY).toBe(true);
  running.kill('SIGKILL');
  await running.outcome;
  const listed = (await bench.gantry('list', bench.store)).stdout;
  expect(listed).toContain('unfinished');
  expect(await bench.gantry('verify', bench.store, second)).toMatchObject({ exitCode: 0 });
  const again = await bench.gantry('consolidate', bench.store, second);
  expect(again).toMatchObject({ exitCode: 0, stderr: expect.stringContaining('cleared the remains of a killed export') });
  expect(again.stdout).toContain(`${second} is ${consolidatedName(second)} now`);
  expect((await bench.stored()).filter((name) => name.includes(second.split('@')[1] ?? ''))).toHaveLength(6);
});
