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
  /** The unit in which space is allocated to a file, or the best unit for writing to a device, bytes. */
  readonly blockBytes: number;
}

/**
 * Opens an existing block device or regular file. For writing (unless `shared`) it is claimed exclusively: until it is closed, the
 * device cannot be mounted, and QEMU cannot open the file. Programs that ignore such claims are not blocked. A disk that is already
 * claimed is refused.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `BUSY`, `DISK_IO`
 */
export async function openDisk(path: string, mode: OpenMode): Promise<OpenDisk> {
  return await openFound(path, await findDisk(path), mode);
}

/** The file or device that a path led to when it was examined. */
export interface FoundDisk {
  readonly kind: 'block' | 'file';
  readonly stats: BigIntStats;
}

/** @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_IO` */
export async function findDisk(path: string): Promise<FoundDisk> {
  const stats = await stat(path, { bigint: true }).catch((error: unknown) => {
    throw diskCallError(path, 'open', error);
  });
  if (stats.isBlockDevice()) return { kind: 'block', stats };
  if (stats.isFile()) return { kind: 'file', stats };
  throw new GantryError('DISK_KIND', {
    message: `cannot open ${path}: it is neither a block device nor a regular file`,
    hint: 'Correct its path in the instance file.',
  });
}

/**
 * Opens what {@link findDisk} found. Its kind determines how it is opened, so a file or device that has replaced it since then is
 * refused.
 *
 * @throws the errors of {@link openDisk}
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
    throw diskCallError(path, 'open', error);
  }
}

/** Whether both are of the same file, or of the same device. */
export function isSameDisk(a: BigIntStats, b: BigIntStats): boolean {
  if (a.isBlockDevice()) return b.isBlockDevice() && a.rdev === b.rdev;
  return b.isFile() && a.dev === b.dev && a.ino === b.ino;
}

async function openAs(path: string, kind: 'block' | 'file', mode: OpenMode): Promise<FileHandle> {
  const exclusive = kind === 'block' && mode === 'write' ? constants.O_EXCL : 0;
  // If a named pipe has replaced the file, opening it must not wait for a writer.
  const nonBlocking = kind === 'file' ? constants.O_NONBLOCK : 0;
  try {
    // QEMU's locks require a file that is also open for reading.
    return await open(path, (mode === 'read' ? constants.O_RDONLY : constants.O_RDWR | exclusive) | nonBlocking);
  } catch (error) {
    throw diskCallError(path, 'open', error);
  }
}

function replaced(path: string): GantryError {
  return new GantryError('DISK_IO', {
    message: `cannot open ${path}: another file or device has replaced it`,
    hint: 'Find out who replaced it, and try again.',
  });
}

function lockedByQemu(path: string): GantryError {
  return new GantryError('BUSY', {
    message: `cannot write ${path}: QEMU has it open`,
    hint: 'Stop the guest, and try again.',
  });
}

function readOnly(path: string): GantryError {
  return new GantryError('DISK_READ_ONLY', {
    message: `cannot write ${path}: the device is read-only`,
    hint: 'Make the device writable (blockdev --setrw), or use another.',
  });
}
