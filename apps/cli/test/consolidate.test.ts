import { access, writeFile } from 'node:fs/promises';
import { makeRandomFile, makeSparseFile, PATIENTLY, sha256File, startSshServer } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { consolidatedName, expectConsolidated, makeIncrement } from './consolidated.ts';
import { writeIdentity } from './sealed-export.ts';
import { ok } from './three-disks.ts';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

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

test('a sealed incremental export is encrypted anew to the recipients that are named, and to nobody else', async () => {
  await using bench = await makeWorkbench();
  const bytes = 5 * 1024 ** 2;
  const [key, fresh, safe] = ['key.txt', 'fresh.txt', 'safe.txt'].map((name) => bench.file(name));
  const [old, first, second] = await Promise.all([key, fresh, safe].map((file = '') => writeIdentity(file)));
  await writeFile(bench.file('recipients.txt'), `# in the safe\n${second}\n`);
  await makeRandomFile(bench.file('disk.img'), bytes, 'disk');
  const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
  const exporting = ['export', instance, bench.store, '--incremental'];
  await ok(bench.gantry(...exporting, '--recipient', `${old}`));
  const reference = await ok(bench.gantry(...exporting, '--recipient', `${old}`));
  const before = await bench.stored();
  const consolidate = ['consolidate', bench.store, reference];
  const identity = ['--identity', `${key}`];
  const anew = ['--recipient', `${first}`, '--recipients-file', bench.file('recipients.txt')];
  for (const [options, exitCode, says] of [
    [identity, 2, /nothing that can be trusted says to whom/],
    [anew, 7, /IDENTITY_NEEDED/],
  ] as const) {
    expect(await bench.gantry(...consolidate, ...options)).toMatchObject({ exitCode, stderr: expect.stringMatching(says) });
    expect(await bench.stored()).toEqual(before);
  }
  const { exitCode, stdout } = await bench.gantry(...consolidate, ...identity, ...anew, '--json');
  expect(exitCode).toBe(0);
  const made: unknown = JSON.parse(lastLine(stdout));
  const name = consolidatedName(reference);
  const warnings = [expect.stringContaining('has other recipients')];
  expect(made).toMatchObject({ from: reference, reference: name, consolidated: true, removed: true, warnings });
  await makeSparseFile(bench.file('target.img'), bytes);
  const target = await bench.describeInstance('target.example.com', { disks: ['target.img'] });
  await ok(bench.gantry('import', bench.store, name, '--to', target, '--identity', `${fresh}`));
  expect(await sha256File(bench.file('target.img'))).toBe(await sha256File(bench.file('disk.img')));
  await ok(bench.gantry('verify', bench.store, name, '--identity', `${safe}`));
  const closed = await bench.gantry('verify', bench.store, name, ...identity);
  expect(closed).toMatchObject({ exitCode: 7, stderr: expect.stringContaining('IDENTITY_MISMATCH') });
});
