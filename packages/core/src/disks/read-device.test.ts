import { execFile } from 'node:child_process';
import { appendFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import {
  attachLoopDevice,
  makeRandomFile,
  makeSparseFile,
  makeTemporaryDirectory,
  mountImage,
  mountNewTmpfs,
  pseudoRandom,
} from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import type { PlainPiece } from '../frames/types.ts';
import { piecesOf } from '../frames/testing/streams.ts';
import { DeviceReader } from './read-device.ts';
import { mountRamfs } from './testing/ramfs.ts';

const run = promisify(execFile);
const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

interface Contents {
  readonly bytes: Buffer;
  /** Bytes that were read, without holes. */
  readonly read: number;
}

async function contents(path: string): Promise<Contents> {
  await using reader = new DeviceReader(path);
  return await contentsOf(piecesOf(reader));
}

async function contentsOf(pieces: AsyncIterable<PlainPiece>): Promise<Contents> {
  const all: Buffer[] = [];
  let read = 0;
  for await (const piece of pieces) {
    if (piece instanceof Uint8Array) read += piece.length;
    all.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
  }
  return { bytes: Buffer.concat(all), read };
}

describe('a file', () => {
  test.each([0, 1, 4096, MiB - 1, MiB, MiB + 1, 3 * MiB + 4097])('of %d bytes is read to its last byte', async (bytes) => {
    await using directory = await makeTemporaryDirectory();
    await makeRandomFile(directory.file('disk'), bytes, 'all of it');
    const found = await contents(directory.file('disk'));
    expect(found.bytes.equals(await readFile(directory.file('disk')))).toBe(true);
    expect(found.read).toBe(bytes);
  });

  test('with holes is read without them', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeSparseFile(directory.file('disk'), 40 * MiB + 1000, [
      { offset: 0, bytes: 4096, seed: 'a' },
      { offset: 8192, bytes: 4096, seed: 'b' },
      { offset: 17 * MiB, bytes: 2 * MiB, seed: 'c' },
      { offset: 40 * MiB, bytes: 10, seed: 'd' },
    ]);
    const found = await contents(directory.file('disk'));
    expect(found.bytes.equals(await readFile(directory.file('disk')))).toBe(true);
    expect(found.read).toBeLessThanOrEqual(2 * MiB + 3 * 4096);
  });

  test('of 100 GiB with little data takes only as long as the data', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeSparseFile(directory.file('disk'), 100 * GiB, [{ offset: 70 * GiB, bytes: 2 * MiB, seed: 'a' }]);
    const kinds: [string, number][] = [];
    await using reader = new DeviceReader(directory.file('disk'));
    for await (const piece of piecesOf(reader)) {
      kinds.push(piece instanceof Uint8Array ? ['data', piece.length] : ['zeros', piece.zeros]);
    }
    expect(kinds).toEqual([
      ['zeros', 70 * GiB],
      ['data', MiB],
      ['data', MiB],
      ['zeros', 30 * GiB - 2 * MiB],
    ]);
  });

  test('that is one hole is not read at all', async () => {
    await using tmpfs = await mountNewTmpfs(MiB);
    await makeSparseFile(tmpfs.file('disk'), 5 * GiB);
    await using reader = new DeviceReader(tmpfs.file('disk'));
    const pieces = await Array.fromAsync(piecesOf(reader));
    expect(pieces).toEqual([{ zeros: 5 * GiB }]);
  });

  test('on a file system without holes is read completely', async () => {
    await using directory = await makeTemporaryDirectory();
    await using ramfs = await mountRamfs(directory.file('ramfs'));
    await makeSparseFile(ramfs.file('disk'), 3 * MiB, [{ offset: MiB, bytes: 10, seed: 'a' }]);
    const found = await contents(ramfs.file('disk'));
    expect(found).toEqual({ bytes: await readFile(ramfs.file('disk')), read: 3 * MiB });
  });

  test.each([
    ['shorter', (path: string) => truncate(path, 3 * MiB)],
    ['longer', (path: string) => appendFile(path, 'more')],
  ])('that becomes %s while it is read is an error', async (_title, change) => {
    await using directory = await makeTemporaryDirectory();
    const path = directory.file('disk');
    await makeRandomFile(path, 8 * MiB, 'a');
    await using reader = new DeviceReader(path);
    const pieces = piecesOf(reader);
    await pieces.next();
    await change(path);
    await expect(contentsOf(pieces)).rejects.toMatchObject({
      code: 'DISK_IO',
      message: expect.stringContaining('changed while it was read'),
    });
  });

  test('that cannot be read: the error names the position', async () => {
    await using directory = await makeTemporaryDirectory();
    const [image, marker] = [directory.file('image'), Buffer.concat([...pseudoRandom('found again', 64 * 1024)])];
    await makeSparseFile(image, 128 * MiB);
    await run('mkfs.btrfs', ['-q', image]);
    {
      await using mounted = await mountImage(image);
      await writeFile(mounted.file('disk'), Buffer.concat([Buffer.alloc(2 * MiB, 'a'), marker]));
    }
    // btrfs detects by its checksums what the disk below it has lost.
    const stored = await readFile(image);
    for (let at = stored.indexOf(marker); at !== -1; at = stored.indexOf(marker, at + 1)) stored.fill(0, at, at + 10);
    await writeFile(image, stored);
    await using mounted = await mountImage(image);
    const reading = contents(mounted.file('disk'));
    await expect(reading).rejects.toMatchObject({ code: 'DISK_IO', message: expect.stringContaining(`at byte ${2 * MiB} of`) });
  });
});

describe('a block device', () => {
  test('is read completely, also if its size is odd', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeSparseFile(directory.file('disk'), 3 * MiB + 512, [{ offset: MiB - 100, bytes: 200, seed: 'a' }]);
    await using loop = await attachLoopDevice(directory.file('disk'));
    const found = await contents(loop.path);
    expect(found).toEqual({ bytes: await readFile(directory.file('disk')), read: 3 * MiB + 512 });
  });

  test('can be read while it is mounted, as a snapshot may be', async () => {
    await using directory = await makeTemporaryDirectory();
    await makeSparseFile(directory.file('disk'), 8 * MiB);
    await using loop = await attachLoopDevice(directory.file('disk'));
    await run('mkfs.ext4', ['-q', loop.path]);
    await using _mounted = await mountImage(loop.path, { readOnly: true });
    expect((await contents(loop.path)).read).toBe(8 * MiB);
  });
});

test.each([
  ['DISK_MISSING', 'nothing'],
  ['DISK_MISSING', 'file/below'],
  ['DISK_KIND', 'directory'],
  ['DISK_KIND', 'pipe'],
])('%s: %s', async (code, name) => {
  await using directory = await makeTemporaryDirectory();
  await writeFile(directory.file('file'), 'data');
  await mkdir(directory.file('directory'));
  await run('mkfifo', [directory.file('pipe')]);
  await expect(contents(directory.file(name))).rejects.toMatchObject({ code });
});

test('a device is read again past the page cache, which a mounted file system does not update', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('image'), 16 * MiB);
  await run('mkfs.ext4', ['-q', directory.file('image')]);
  await using loop = await attachLoopDevice(directory.file('image'));
  // Mounted, the device stays open: the kernel keeps what was read of it.
  await using mounted = await mountImage(loop.path);
  await writeFile(mounted.file('data'), 'before '.repeat(1000), { flush: true });
  const read = async (skipCache: boolean): Promise<Buffer> => {
    await using reader = new DeviceReader(loop.path, { skipCache });
    return (await contentsOf(piecesOf(reader))).bytes;
  };
  expect((await read(false)).includes('before before')).toBe(true);
  await run('dd', ['if=/dev/zero', `of=${mounted.file('data')}`, 'bs=7000', 'count=1', 'conv=notrunc,fsync', 'status=none']);
  expect((await read(false)).includes('before before')).toBe(true);
  expect((await read(true)).includes('before before')).toBe(false);
});
