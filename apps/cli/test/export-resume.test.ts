import { glob, readFile, rm, stat, writeFile } from 'node:fs/promises';

import { makeRandomFile, PATIENTLY, sha256File } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { bytesOf } from './store-bytes.ts';
import { lastLine, makeWorkbench } from './workbench.ts';

const MiB = 1024 * 1024;

test('the next incremental export goes on from what one killed with SIGKILL had stored, of complete disks and of others', async () => {
  await using log = await makeWorkbench();
  await using bench = await makeWorkbench({ GANTRY_STORE_LOG: log.file('calls') });
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
  // Frames that are cut by content are between 256 KiB and 4 MiB: the last one waits for more.
  await expect.poll(() => unfinishedBytes(bench.store), PATIENTLY).toBeGreaterThan(7 * MiB);
  killed.kill('SIGKILL');
  await killed.outcome;
  await rm(bench.file('disk1.img.hang'));
  await rm(log.file('calls'));

  const next = await bench.gantry('export', instance, bench.store, '--incremental');
  expect(next).toMatchObject({ exitCode: 0 });
  for (const disk of [0, 1])
    expect(next.stderr).toMatch(new RegExp(`disk ${disk}: going on with what web1\\.example\\.com@\\S+, which was cut off, has stored\\n`));
  const { sent, read } = bytesOf(await readFile(log.file('calls'), 'utf8'));
  expect(sent).toBeLessThan(6 * MiB);
  expect(read).toBeGreaterThan(7 * MiB);
  expect(read).toBeLessThan(13 * MiB);
  const targets = disks.map((disk) => `${disk}.target`);
  for (const target of targets) await writeFile(bench.file(target), '');
  const copy = await bench.describeInstance('web2.example.com', { os: 'slow', disks: targets });
  const imported = await bench.gantry('import', bench.store, lastLine(next.stdout), '--to', copy);
  expect(imported).toMatchObject({ exitCode: 0 });
  for (const disk of disks) expect(await sha256File(bench.file(`${disk}.target`))).toBe(await sha256File(bench.file(disk)));
  expect((await bench.stored()).filter((name) => name.endsWith('cut-off.json') || name.includes('.gantry-pending'))).toEqual([]);
});

/** Of all writes that are not committed. */
async function unfinishedBytes(store: string): Promise<number> {
  let bytes = 0;
  for await (const path of glob(`${store}/.gantry-pending/*/data-*`)) bytes += (await stat(path).catch(() => undefined))?.size ?? 0;
  return bytes;
}
