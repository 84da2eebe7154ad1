import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { makeRandomFile, makeSparseFile } from '@gantry/testkit';
import { execa } from 'execa';

export const MIB: number = 1024 * 1024;
export const GIB: number = 1024 * MIB;

/** The kinds of disk that are exported. */
export const DATA_SETS = {
  dense: 'executables and libraries of this machine, as in the root disk of an instance',
  mixed: 'half of that, a quarter that does not compress, a quarter zeros',
  random: 'data that does not compress: encrypted or compressed files',
  empty: 'holes, with one fiftieth of data: a new disk, four times as large as the others',
  database: 'pages of 8 KiB with rows of text and numbers, a third of each page free',
} as const;

export type DataSet = keyof typeof DATA_SETS;

/** Makes the disk of a data set as a file of `bytes` bytes (`empty`: four times that), unless it exists. */
export async function makeDataSet(kind: DataSet, bytes: number, path: string): Promise<number> {
  const size = kind === 'empty' ? 4 * bytes : bytes;
  if ((await stat(path).catch(() => undefined))?.size === size) return size;
  await MAKERS[kind](path, size);
  // In the page cache for everyone.
  await execa('cat', [path], { stdout: 'ignore' });
  return size;
}

const MAKERS: Readonly<Record<DataSet, (path: string, bytes: number) => Promise<void>>> = {
  dense: makeDense,
  mixed: makeMixed,
  random: (path, bytes) => makeRandomFile(path, bytes, 'random'),
  empty: (path, bytes) => {
    const extents = Array.from({ length: 50 }, (_, index) => ({
      offset: Math.floor((bytes / 50) * index),
      bytes: Math.floor(bytes / 2500 / 4096) * 4096,
      seed: `extent ${index}`,
    }));
    return makeSparseFile(path, bytes, extents);
  },
  database: makeDatabase,
};

/** The files of this machine, repeated if they are few: too far apart for a compressor to notice. */
async function makeDense(path: string, bytes: number): Promise<void> {
  const line = 'while tar -C / -cf - usr/lib usr/bin 2>/dev/null; [ $? -le 1 ]; do :; done | head -c "$1" >"$2"';
  await execa('bash', ['-c', line, 'dense', String(bytes), path]);
}

async function makeMixed(path: string, bytes: number): Promise<void> {
  await makeDense(`${path}.dense`, bytes / 2);
  await makeRandomFile(`${path}.random`, bytes / 4, 'mixed');
  await using disk = await open(path, 'w');
  await using dense = await open(`${path}.dense`, 'r');
  await using random = await open(`${path}.random`, 'r');
  const piece = Buffer.alloc(4 * MIB);
  for (let at = 0; at < bytes; at += 4 * piece.length) {
    for (const from of [dense, random, dense]) {
      const { bytesRead } = await from.read(piece, 0, piece.length, null);
      await disk.write(piece, 0, bytesRead);
    }
    await disk.write(Buffer.alloc(piece.length));
  }
  await disk.truncate(bytes);
  await execa('rm', [`${path}.dense`, `${path}.random`]);
}

const PAGE_BYTES = 8192;
const WORDS = 'alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo'.split(' ');

async function makeDatabase(path: string, bytes: number): Promise<void> {
  await using disk = await open(path, 'w');
  const chunk = Buffer.alloc(4 * MIB);
  for (let page = 0; page * PAGE_BYTES < bytes;) {
    for (let at = 0; at < chunk.length; at += PAGE_BYTES, page += 1) fillPage(chunk.subarray(at, at + PAGE_BYTES), page);
    await disk.write(chunk);
  }
  await disk.truncate(bytes);
}

/** A header with a growing number, free space, and rows from the end, like a heap page of PostgreSQL. */
function fillPage(page: Buffer, number: number): void {
  page.fill(0);
  page.writeUInt32LE(number, 0);
  page.writeUInt32LE(number * 8168, 4);
  let seed = createHash('sha256').update(`page ${number}`).digest();
  for (let end = PAGE_BYTES; end > PAGE_BYTES * 0.35;) {
    seed = createHash('sha256').update(seed).digest();
    const words = [...seed.subarray(0, 6)].map((byte) => WORDS[byte % WORDS.length] ?? '').join(' ');
    const row = `${number * 60 + (PAGE_BYTES - end)}|${words}|${seed.readUInt32LE(8)}|2026-11-${10 + ((seed[12] ?? 0) % 20)}|${seed.toString('hex', 16, 28)}`;
    end -= row.length;
    page.write(row, end, 'latin1');
  }
}
