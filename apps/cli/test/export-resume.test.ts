import { rm, writeFile } from 'node:fs/promises';

import { makeRandomFile, PATIENTLY, sha256File } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { lastLine, makeWorkbench } from './workbench.ts';

const MiB = 1024 * 1024;

test('the next incremental export goes on from the disks that one killed with SIGKILL had completed', async () => {
  await using bench = await makeWorkbench();
  const disks = ['disk0.img', 'disk1.img'];
  for (const disk of disks) await makeRandomFile(bench.file(disk), 12 * MiB, disk);
  await bench.defineOs('slow', {
    export: 'cat "$EXPORT_DEVICE"; if [ -e "$EXPORT_DEVICE.hang" ]; then exec sleep 1000; fi',
    import: 'cat >"$IMPORT_DEVICE"',
  });
  const instance = await bench.describeInstance('web1.example.com', { os: 'slow', disks });
  await writeFile(bench.file('disk1.img.hang'), '');
  const killed = bench.start('export', instance, bench.store, '--incremental');
  await expect.poll(async () => (await bench.stored()).filter((name) => name.endsWith('/disk0.map')), PATIENTLY).toHaveLength(1);
  killed.kill('SIGKILL');
  await killed.outcome;
  await rm(bench.file('disk1.img.hang'));

  const next = await bench.gantry('export', instance, bench.store, '--incremental');
  expect(next).toMatchObject({ exitCode: 0 });
  expect(next.stderr).toMatch(
    /disk 0: going on with what web1\.example\.com@\S+, which was cut off, has stored of its first 12582912 bytes/,
  );
  expect(next.stderr).not.toContain('disk 1: going on');
  expect(next.stderr).toMatch(/[1-9]\d* frames known \(12\.0 MiB\)/);
  const targets = disks.map((disk) => `${disk}.target`);
  for (const target of targets) await writeFile(bench.file(target), '');
  const copy = await bench.describeInstance('web2.example.com', { os: 'slow', disks: targets });
  const imported = await bench.gantry('import', bench.store, lastLine(next.stdout), '--to', copy);
  expect(imported).toMatchObject({ exitCode: 0 });
  for (const disk of disks) expect(await sha256File(bench.file(`${disk}.target`))).toBe(await sha256File(bench.file(disk)));
  expect((await bench.stored()).filter((name) => name.endsWith('cut-off.json'))).toEqual([]);
});
