import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { blockDeviceSize } from '../system/block-device.ts';
import { errnoName } from '../system/errno-name.ts';
import { deviceNumber, diskIdentity } from './disk-identity.ts';
import { errorText } from '../report/error-text.ts';

/** Kind, size and identity of the file or device of a disk. */
export interface DiskStats {
  readonly kind: 'block' | 'file';
  readonly bytes: number;
  /** Equal for two paths exactly if they lead to the same device or file; see `diskIdentity`. */
  readonly identity: string;
}

/**
 * Examines one disk, and opens it the way it will be used, without reading or writing anything.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `DISK_IO`
 */
export async function readDiskStats(path: string, index: number, mode: 'read' | 'write'): Promise<DiskStats> {
  const stats = await statDisk(path, index);
  if (!stats.isBlockDevice() && !stats.isFile()) {
    throw diskError('DISK_KIND', path, index, `it is ${kindName(stats)}`, 'A disk is a block device or a regular file.');
  }
  // Linux opens a read-only device for writing too, and fails only when something is written.
  if (mode === 'write' && stats.isBlockDevice() && (await isReadOnlyDevice(stats))) throw readOnly(path, index);
  try {
    await using file = await open(path, (mode === 'read' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK);
    const identity = await diskIdentity(path);
    return stats.isFile()
      ? { kind: 'file', bytes: Number(stats.size), identity }
      : { kind: 'block', bytes: blockDeviceSize(file.fd), identity };
  } catch (error) {
    throw openFailure(error, path, index, mode);
  }
}

async function statDisk(path: string, index: number): Promise<BigIntStats> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw diskError(
        'DISK_MISSING',
        path,
        index,
        'it does not exist',
        'Correct its path in the instance file, or activate the device.',
        error,
      );
    }
    if (code === 'EACCES') throw denied(path, index, error);
    throw diskError('DISK_IO', path, index, errorText(error), undefined, error);
  }
}

function openFailure(error: unknown, path: string, index: number, mode: 'read' | 'write'): GantryError {
  const code = errnoName(error);
  if (code === 'EMEDIUMTYPE') {
    const hint = 'Run Gantry on the node where the resource is primary.';
    return diskError('DISK_DENIED', path, index, 'it is a DRBD secondary here (EMEDIUMTYPE)', hint, error);
  }
  // EPERM, unlike EACCES, comes even to root: the file has the attribute `immutable` or `append only` (ioctl_iflags(2)).
  if (code === 'EROFS' || (mode === 'write' && code === 'EPERM')) return readOnly(path, index, error);
  if (code === 'EACCES' || code === 'EPERM') return denied(path, index, error);
  return diskError('DISK_IO', path, index, errorText(error), undefined, error);
}

async function isReadOnlyDevice({ rdev }: BigIntStats): Promise<boolean> {
  return (await readFile(`/sys/dev/block/${deviceNumber(rdev)}/ro`, 'utf8').catch(() => '')).trim() === '1';
}

function kindName(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isCharacterDevice()) return 'a character device';
  if (stats.isFIFO()) return 'a named pipe';
  return stats.isSocket() ? 'a socket' : 'of an unknown kind';
}

function readOnly(path: string, index: number, cause?: unknown): GantryError {
  return diskError('DISK_READ_ONLY', path, index, 'it is read-only', 'Make the device or its file system writable.', cause);
}

function denied(path: string, index: number, cause: unknown): GantryError {
  return diskError('DISK_DENIED', path, index, 'permission denied', 'Run Gantry as a user with access to it, usually root.', cause);
}

function diskError(code: GantryErrorCode, path: string, index: number, why: string, hint?: string, cause?: unknown): GantryError {
  return new GantryError(code, { message: `cannot open disk ${index} (${path}): ${why}`, hint, disk: index, cause });
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
