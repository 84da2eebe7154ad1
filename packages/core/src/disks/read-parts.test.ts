import { readFile } from 'node:fs/promises';

import { serveNbd } from '@gantry/nbd';
import { attachLoopDevice, makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import type { PartsReader } from '../frames/plain-reader.ts';
import { collect, piecesOf } from '../frames/testing/streams.ts';
import { DeviceReader } from './read-device.ts';
import { NbdReader } from './read-nbd.ts';

const { signal } = new AbortController();
const MiB = 1024 * 1024;
const DISK_BYTES = 24 * MiB;

/** Across data and holes, one after another and backwards, to the last byte. */
const PARTS = [
  [0, 4096],
  [2 * MiB, 4 * MiB],
  [20 * MiB, 4 * MiB],
  [10 * MiB, 2 * MiB],
  [10 * MiB, 0],
  [12 * MiB, 4096],
] as const;

async function expectParts(reader: PartsReader & AsyncDisposable, disk: Buffer): Promise<void> {
  await using owned = reader;
  for (const [offset, length] of PARTS) {
    owned.select(offset, length);
    const part = await collect(piecesOf(owned, 300 * 1024));
    expect(part.equals(disk.subarray(offset, offset + length)), `${length} bytes at ${offset}`).toBe(true);
  }
  owned.select(DISK_BYTES - 4096, 8192);
  await expect(collect(piecesOf(owned))).rejects.toMatchObject({ code: 'DISK_IO' });
}

test('any parts of a disk are read: of a file with holes, a device, and over NBD', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('disk');
  await makeSparseFile(path, DISK_BYTES, [
    { offset: 0, bytes: 3 * MiB, seed: 'a' },
    { offset: 4 * MiB, bytes: 8192, seed: 'b' },
    { offset: 11 * MiB, bytes: 2 * MiB, seed: 'c' },
    { offset: 23 * MiB, bytes: MiB, seed: 'd' },
  ]);
  const disk = await readFile(path);
  await using reader = new DeviceReader(path);
  await expectParts(reader, disk);
  await using loop = await attachLoopDevice(path);
  await using loopReader = new DeviceReader(loop.path);
  await expectParts(loopReader, disk);
  const read = async (offset: number, into: Uint8Array): Promise<void> => into.set(disk.subarray(offset, offset + into.length));
  const extents = (offset: number) => {
    // Up to the next MiB.
    const bytes = MiB - (offset % MiB);
    const isZero = disk.subarray(offset, offset + bytes).every((byte) => byte === 0);
    return [{ offset, length: bytes, flags: isZero ? 3 : 0 }];
  };
  await using _server = await serveNbd({ path: directory.file('s'), exports: [{ name: 'disk', size: DISK_BYTES, read, extents }] });
  await expectParts(new NbdReader({ socket: directory.file('s'), exportName: 'disk', bytes: DISK_BYTES }, signal), disk);
});
