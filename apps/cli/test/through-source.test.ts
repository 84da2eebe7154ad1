import { expect, test } from 'vitest';
import { makeRandomFile } from '@gantry/testkit';
import { jsonLines, makeWorkbench } from './workbench.ts';

/* Options of transfers through a source, where the source is files; ganeti-remote.test.ts has a cluster. */

test.each([
  ['--listen', ['--listen', '192.0.2.7'], { exitCode: 2, code: 'USAGE', message: /--listen does not go with this export/ }],
  ['--through-source', ['--through-source'], { exitCode: 3, code: 'INVENTORY_FAILED', message: /does not send or take the disks/ }],
  ['both, and a snapshot', ['--through-source', '--snapshot', 'lvm'], { exitCode: 2, code: 'USAGE', message: /--snapshot does not go/ }],
  ['both, and a disk', ['--through-source', '--disk', '0'], { exitCode: 2, code: 'USAGE', message: /--disk does not go/ }],
])('an export of an instance file refuses %s', async (_what, options, { exitCode, code, message }) => {
  await using bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk0.img'), 4096, 'disk 0');
  const instance = await bench.describeInstance('web1.example.com', { disks: [bench.file('disk0.img')] });
  const outcome = await bench.gantry('export', instance, bench.store, ...options, '--json');
  expect(outcome.exitCode).toBe(exitCode);
  expect(jsonLines(outcome.stdout).at(-1)).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(await bench.stored()).toEqual([]);
});

test('an import into an instance that is there refuses what is for a new one', async () => {
  await using bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk0.img'), 4096, 'disk 0');
  const instance = await bench.describeInstance('web1.example.com', { disks: [bench.file('disk0.img')] });
  await bench.gantry('export', instance, bench.store);
  const outcome = await bench.gantry('import', bench.store, 'web1.example.com', '--to', instance, '--disk-template', 'drbd', '--json');
  expect(outcome.exitCode).toBe(10);
  expect(jsonLines(outcome.stdout).at(-1)).toMatchObject({ code: 'INSTANCE_EXISTS' });
});
