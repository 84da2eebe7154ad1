import { GantryError } from '../report/errors.ts';
import type { PlainPiece } from '../frames/types.ts';
import { findData, findHole } from '../system/sparse.ts';
import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';

/** Bytes read at once: large enough for a device, small enough to stay in the processor's cache on the way. */
const READ_BYTES = 1024 * 1024;

/** A run of a disk, from `start` up to `end`, bytes. */
interface Extent {
  readonly kind: 'data' | 'hole';
  readonly start: number;
  readonly end: number;
}

/**
 * Everything that a block device or file holds, in order. The holes of a file are not read: a file of 100 GiB with 1 GiB of data costs what
 * 1 GiB costs. While one piece is used the next is being read.
 *
 * Throws the reason of the signal.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, and `DISK_IO` where it cannot be read or changes its size meanwhile
 */
export async function* readDevice(path: string, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<PlainPiece, void, undefined> {
  signal.throwIfAborted();
  await using disk = await openDisk(path, 'read');
  const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)] as const;
  let turn: 0 | 1 = 0;
  let ahead: Promise<PlainPiece> | undefined;
  try {
    for (const { kind, start, end } of portions(disk)) {
      const current = ahead;
      ahead = kind === 'hole' ? Promise.resolve({ zeros: end - start }) : readExactly(disk, buffers[turn], start, end);
      // It is heard when its turn comes.
      ahead.catch(() => undefined);
      turn = turn === 0 ? 1 : 0;
      if (current !== undefined) yield await current;
      signal.throwIfAborted();
    }
    if (ahead !== undefined) yield await ahead;
    signal.throwIfAborted();
    await assertSameSize(disk);
  } finally {
    // A read that is still under way must not outlive the descriptor.
    await ahead?.catch(() => undefined);
  }
}

/** The disk's extents, data in portions of {@link READ_BYTES}. */
function* portions(disk: OpenDisk): Generator<Extent, void, undefined> {
  for (const extent of extents(disk)) {
    if (extent.kind === 'hole') {
      yield extent;
      continue;
    }
    // On multiples of the portion, so that all but the first are aligned.
    for (let start = extent.start; start < extent.end;) {
      const end = Math.min(extent.end, start - (start % READ_BYTES) + READ_BYTES);
      yield { kind: 'data', start, end };
      start = end;
    }
  }
}

function* extents({ file, path, kind, bytes }: OpenDisk): Generator<Extent, void, undefined> {
  if (kind === 'block') {
    if (bytes > 0) yield { kind: 'data', start: 0, end: bytes };
    return;
  }
  try {
    for (let at = 0; at < bytes;) {
      const data = Math.min(findData(file.fd, at) ?? bytes, bytes);
      if (data > at) yield { kind: 'hole', start: at, end: data };
      if (data === bytes) return;
      const hole = Math.min(findHole(file.fd, data) ?? bytes, bytes);
      yield { kind: 'data', start: data, end: hole };
      at = hole;
    }
  } catch (error) {
    throw diskCallError(path, 'looking for holes in', error);
  }
}

async function readExactly(disk: OpenDisk, buffer: Buffer, start: number, end: number): Promise<Uint8Array> {
  let at = start;
  while (at < end) {
    const bytesRead = await readSome(disk, buffer, at - start, end - at, at);
    if (bytesRead === 0) throw changedSize(disk);
    at += bytesRead;
  }
  return buffer.subarray(0, end - start);
}

async function readSome(disk: OpenDisk, buffer: Buffer, into: number, bytes: number, at: number): Promise<number> {
  try {
    return (await disk.file.read(buffer, into, bytes, at)).bytesRead;
  } catch (error) {
    throw diskCallError(disk.path, `reading byte ${at} and on of`, error);
  }
}

async function assertSameSize(disk: OpenDisk): Promise<void> {
  if (disk.kind === 'file' && (await disk.file.stat()).size !== disk.bytes) throw changedSize(disk);
}

function changedSize({ path, bytes }: OpenDisk): GantryError {
  return new GantryError('DISK_IO', {
    message: `${path} had ${bytes} bytes when its reading began, and changed its size meanwhile`,
    hint: 'Export it from a snapshot, or while nothing resizes it.',
  });
}
