import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { GantryError } from '../report/errors.ts';
import { blockDeviceSize, isReadOnlyDevice } from '../system/block-device.ts';
import { diskCallError } from './disk-errors.ts';
import { lockAgainstQemu } from './qemu-locks.ts';

export type OpenMode = 'read' | 'write' | 'write shared';

/** An open disk. */
export interface OpenDisk extends AsyncDisposable {
  readonly file: FileHandle;
  readonly path: string;
  readonly kind: 'block' | 'file';
  readonly bytes: number;
  /** The unit in which a file takes space, or a device is best written, bytes. */
  readonly blockBytes: number;
}

/**
 * Opens a block device or regular file that is there. For writing (unless `shared`) it is held exclusively, as far as others heed
 * that: nobody can mount the device meanwhile, and no QEMU opens the file. One that is held already is refused.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `BUSY`, `DISK_IO`
 */
export async function openDisk(path: string, mode: OpenMode): Promise<OpenDisk> {
  return await openFound(path, await findDisk(path), mode);
}

/** What a path led to when it was looked at. */
export interface FoundDisk {
  readonly kind: 'block' | 'file';
  readonly stats: BigIntStats;
}

/** @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_IO` */
export async function findDisk(path: string): Promise<FoundDisk> {
  const stats = await stat(path, { bigint: true }).catch((error: unknown) => {
    throw diskCallError(path, 'opening', error);
  });
  if (stats.isBlockDevice()) return { kind: 'block', stats };
  if (stats.isFile()) return { kind: 'file', stats };
  throw new GantryError('DISK_KIND', {
    message: `${path} is neither a block device nor a regular file`,
    hint: 'A disk is one or the other; correct its path in the instance file.',
  });
}

/**
 * Opens what {@link findDisk} found. How it is opened follows from its kind, so another file or device that has taken its place since is
 * refused.
 *
 * @throws as {@link openDisk}
 */
export async function openFound(path: string, { kind, stats: found }: FoundDisk, mode: OpenMode): Promise<OpenDisk> {
  const file = await openAs(path, kind, mode);
  try {
    const stats = await file.stat({ bigint: true });
    if (!isSameDisk(found, stats)) throw replaced(path);
    if (kind === 'block' && mode !== 'read' && isReadOnlyDevice(file.fd)) throw readOnly(path);
    if (kind === 'file' && mode === 'write' && !lockAgainstQemu(file.fd)) throw lockedByQemu(path);
    const bytes = kind === 'block' ? blockDeviceSize(file.fd) : Number(stats.size);
    return { file, path, kind, bytes, blockBytes: Number(stats.blksize), [Symbol.asyncDispose]: () => file.close() };
  } catch (error) {
    await file.close();
    throw diskCallError(path, 'opening', error);
  }
}

/** Whether two looks were at the same file, or at the same device. */
export function isSameDisk(a: BigIntStats, b: BigIntStats): boolean {
  if (a.isBlockDevice()) return b.isBlockDevice() && a.rdev === b.rdev;
  return b.isFile() && a.dev === b.dev && a.ino === b.ino;
}

async function openAs(path: string, kind: 'block' | 'file', mode: OpenMode): Promise<FileHandle> {
  const exclusive = kind === 'block' && mode === 'write' ? constants.O_EXCL : 0;
  // A named pipe that has taken the place of a file must not hold the open until somebody writes to it.
  const nonBlocking = kind === 'file' ? constants.O_NONBLOCK : 0;
  try {
    // QEMU's locks are of the kind that needs a file which is open for reading too.
    return await open(path, (mode === 'read' ? constants.O_RDONLY : constants.O_RDWR | exclusive) | nonBlocking);
  } catch (error) {
    throw diskCallError(path, 'opening', error);
  }
}

function replaced(path: string): GantryError {
  return new GantryError('DISK_IO', {
    message: `cannot open ${path}: another file or device took its place meanwhile`,
    hint: 'Find out who replaced it, and try again.',
  });
}

function lockedByQemu(path: string): GantryError {
  return new GantryError('BUSY', {
    message: `${path} is in use: QEMU has it open`,
    hint: 'Stop the guest, and try again.',
  });
}

function readOnly(path: string): GantryError {
  return new GantryError('DISK_READ_ONLY', {
    message: `${path} is set read-only`,
    hint: 'Make the device writable (blockdev --setrw), or give another.',
  });
}
