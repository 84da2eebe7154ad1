import type { PlainPiece } from '../frames/types.ts';
import { abortable } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { flushDisk } from './flush-disk.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';
import { splitAtZeros } from './split-at-zeros.ts';
import { writeAll } from './write-all.ts';
import { Writeback } from './writeback.ts';
import { Zeroer } from './zeroer.ts';

export interface WriteDeviceOptions {
  readonly signal: AbortSignal;
  /** The size of the stream, if known: a smaller disk is then refused before anything is written. */
  readonly expectedPlainBytes?: number | undefined;
  /** Writes even if the disk is in use: does not claim it exclusively. */
  readonly forceInUse?: boolean | undefined;
}

/**
 * Writes a plain stream to the start of an existing block device or file, and resolves when it is durable. Zeros become holes if the disk
 * supports them, and replace the previous contents. The remainder of a larger disk is not changed.
 *
 * Rejects with the errors of `pieces` and the signal's reason.
 *
 * @throws GantryError `DISK_TOO_SMALL`, `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `BUSY`, `DISK_IO`
 */
export async function writeDevice(path: string, pieces: AsyncIterable<PlainPiece>, o: WriteDeviceOptions): Promise<void> {
  o.signal.throwIfAborted();
  await using disk = await openDisk(path, o.forceInUse === true ? 'write shared' : 'write');
  assertLargeEnough(disk, o.expectedPlainBytes ?? 0);
  const zeroer = new Zeroer(disk, o.signal);
  await using writeback = new Writeback(disk);
  let at = 0;
  for await (const piece of abortable(pieces, o.signal)) {
    const bytes = piece instanceof Uint8Array ? piece.length : piece.zeros;
    assertLargeEnough(disk, at + bytes);
    if (piece instanceof Uint8Array) await writeBytes(disk, zeroer, piece, at);
    else await zeroer.zero(at, at + bytes);
    at += bytes;
    await writeback.reached(at);
  }
  await flushDisk(disk);
  o.signal.throwIfAborted();
}

/** Writes data, with holes for its zeros if the disk is a file. */
export async function writeBytes(disk: OpenDisk, zeroer: Zeroer, bytes: Uint8Array, at: number): Promise<void> {
  if (disk.kind === 'block') {
    await writeAll(disk, bytes, at);
    return;
  }
  for (const { kind, start, end } of splitAtZeros(bytes, at, disk.blockBytes)) {
    if (kind === 'zeros') await zeroer.zero(at + start, at + end);
    else await writeAll(disk, bytes.subarray(start, end), at + start);
  }
}

/** @throws GantryError `DISK_TOO_SMALL` */
export function assertLargeEnough({ path, bytes }: OpenDisk, needed: number): void {
  if (needed <= bytes) return;
  throw new GantryError('DISK_TOO_SMALL', {
    message: `cannot write ${path}: it has ${bytes} bytes, but at least ${needed} are needed`,
    hint: 'Make the disk at least as large as the one that was exported.',
  });
}
