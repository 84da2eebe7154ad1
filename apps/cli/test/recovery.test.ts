import { readFile } from 'node:fs/promises';
import { makeRandomFile, makeSparseFile, sha256File } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

describe('recovery without Gantry', () => {
  test('restores a raw disk with only sha256sum and zstd or gzip', async () => {
    await using bench = await makeWorkbench();
    await makeSparseFile(bench.file('disk.img'), 21 * MIB, [{ offset: 3 * MIB, bytes: 6 * MIB, seed: 'x' }]);
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    for (const [codec, command] of [
      ['zstd', 'zstd -dc disk0.zst'],
      ['gzip', 'gzip -dc disk0.gz'],
    ] as const) {
      const reference = lastLine((await bench.gantry('export', instance, bench.store, '--codec', codec)).stdout);
      const cwd = exportDirectory(bench, reference);
      await execa('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd });
      const copy = bench.file(`${codec}.img`);
      await execa('sh', ['-c', `${command} | dd of="$0" bs=4M conv=fsync status=none`, copy], { cwd });
      expect(await sha256File(copy)).toBe(await sha256File(bench.file('disk.img')));
    }
  });

  test("runs its definition's import script with only env and zstd", async () => {
    await using bench = await makeWorkbench();
    const home = await bench.defineOs('packed', {
      export: 'tar -C "$(dirname "$EXPORT_DEVICE")" -cf - disk.img',
      import: 'exec tar -xf - -O >"$IMPORT_DEVICE"',
    });
    await makeRandomFile(bench.file('disk.img'), 5 * MIB, 'x');
    const instance = await bench.describeInstance('web1.example.com', { os: 'packed', disks: ['disk.img'] });
    const reference = lastLine((await bench.gantry('export', instance, bench.store)).stdout);
    const copy = bench.file('copy.img');
    const script =
      'zstd -dc "$0/disk0.zst" | env -i PATH=/sbin:/bin:/usr/sbin:/usr/bin IMPORT_DEVICE="$1" IMPORT_DISK_PATH="$1" IMPORT_INDEX=0 ./import';
    await execa('sh', ['-c', script, exportDirectory(bench, reference), copy], { cwd: home });
    expect((await readFile(copy)).equals(await readFile(bench.file('disk.img')))).toBe(true);
  });
});
