import { readFile } from 'node:fs/promises';
import { makeSparseFile, mountNewXfs } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { lastLine, makeWorkbench, waitForFile } from './workbench.ts';

const BLOCK_BYTES = 4096;
const BLOCKS = 8192;

/** Numbers its writes: the n-th goes to block n modulo their number, and holds n. Never ends. */
const WRITER = `
import os, struct, sys
disk, blocks, started = os.open(sys.argv[1], os.O_WRONLY), int(sys.argv[2]), sys.argv[3]
n = 0
while True:
    n += 1
    os.pwrite(disk, struct.pack('<Q', n), (n % blocks) * ${BLOCK_BYTES})
    if n == 3 * blocks: open(started, 'w').close()
`;

/** The number that each block holds. */
function numbersIn(disk: Buffer): readonly number[] {
  return Array.from({ length: BLOCKS }, (_, block) => Number(disk.readBigUInt64LE(block * BLOCK_BYTES)));
}

test('exports a disk on xfs as it was at one moment, although it is written to all the time', async () => {
  await using xfs = await mountNewXfs();
  await using bench = await makeWorkbench();
  await makeSparseFile(xfs.file('disk.img'), BLOCKS * BLOCK_BYTES);
  await makeSparseFile(bench.file('copy.img'), BLOCKS * BLOCK_BYTES);
  const writer = execa('python3', ['-c', WRITER, xfs.file('disk.img'), String(BLOCKS), bench.file('started')], { reject: false });
  await waitForFile(bench.file('started'));

  const source = await bench.describeInstance('web1.example.com', { disks: [xfs.file('disk.img')] });
  const exported = await bench.gantry('export', source, bench.store, '--snapshot', 'reflink');
  writer.kill('SIGKILL');
  await writer;
  expect(exported.exitCode, exported.stderr).toBe(0);
  const target = await bench.describeInstance('copy.example.com', { disks: ['copy.img'] });
  expect(await bench.gantry('import', bench.store, lastLine(exported.stdout), '--to', target)).toMatchObject({ exitCode: 0 });

  const numbers = numbersIn(await readFile(bench.file('copy.img')));
  const last = Math.max(...numbers);
  // After write number `last`, each block holds the greatest number up to it that belongs to the block.
  const expected = Array.from({ length: BLOCKS }, (_, block) => last - ((((last - block) % BLOCKS) + BLOCKS) % BLOCKS));
  expect(numbers).toEqual(expected);
  // And the writer was not blocked: the disk has newer data.
  expect(Math.max(...numbersIn(await readFile(xfs.file('disk.img'))))).toBeGreaterThan(last);
});

test('warns when a disk without a snapshot is open for writing elsewhere', async () => {
  await using bench = await makeWorkbench();
  await makeSparseFile(bench.file('disk.img'), BLOCKS * BLOCK_BYTES);
  const writer = execa('python3', ['-c', WRITER, bench.file('disk.img'), String(BLOCKS), bench.file('started')], { reject: false });
  await waitForFile(bench.file('started'));
  const source = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
  const exported = await bench.gantry('export', source, bench.store, '--snapshot', 'none');
  writer.kill('SIGKILL');
  await writer;
  expect(exported.stderr).toMatch(new RegExp(`warning: disk 0: .*${writer.pid}`));
});
