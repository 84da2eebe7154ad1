import { open, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { makeRandomFile, makeSparseFile, sha256File } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { exportDirectory, lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;
const PAGE = fileURLToPath(new URL('../../../docs/how-to/recover-without-gantry.md', import.meta.url));

async function overwrite(path: string, offset: number, text: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(text, offset);
}

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

  test('restores a disk from the middle of a lineage with Bash, coreutils and zstd, by the loop of the page', async () => {
    await using bench = await makeWorkbench();
    const disk = bench.file('disk.img');
    await makeSparseFile(disk, 33 * MIB, [{ offset: 3 * MIB, bytes: 22 * MIB, seed: 'x' }]);
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const exported: { readonly reference: string; readonly sha256: string }[] = [];
    for (const day of [1, 2, 3, 4]) {
      // Bytes that differ within a frame, and a frame that is new.
      await overwrite(disk, (4 * day + 1) * MIB, 'changed');
      await overwrite(disk, 29 * MIB, 'a line of text\n'.repeat(1000 * day));
      const { stdout } = await bench.gantry('export', instance, bench.store, '--incremental');
      exported.push({ reference: lastLine(stdout), sha256: await sha256File(disk) });
    }
    const { reference = '', sha256 } = exported[2] ?? {};
    const cwd = exportDirectory(bench, reference);
    await execa('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd });
    const shown = (await bench.gantry('show', bench.store, reference)).stdout;
    expect(shown).toMatch(/^0 .* disk0\.map +zstd /m);
    const sums = (await readFile(`${cwd}/SHA256SUMS`, 'utf8')).split('\n').filter((line) => !line.endsWith('config.ini'));
    expect(shown).toContain(`SHA-256\n${sums.join('\n').trim()}`);
    const [, loop = ''] = /^ *```bash\n([^]*?)^ *```$/m.exec(await readFile(PAGE, 'utf8')) ?? [];
    await writeFile(bench.file('map-to-disk.sh'), loop);
    const copy = bench.file('copy.img');
    await execa(
      'bash',
      ['-o', 'pipefail', '-c', 'bash "$0" disk0.map | dd of="$1" bs=4M conv=fsync status=none', bench.file('map-to-disk.sh'), copy],
      { cwd },
    );
    expect(await sha256File(copy)).toBe(sha256);
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
