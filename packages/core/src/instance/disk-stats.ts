import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { GantryErrorCode } from '../errors.ts';
import { GantryError } from '../errors.ts';

/** What the machine says of the place where a disk is kept. */
export interface DiskStats {
  readonly kind: 'block' | 'file';
  readonly bytes: number;
  /** Equal for two paths just where they lead to the same device or file. */
  readonly identity: string;
}

/** Sectors of sysfs, whatever the device's own are (Documentation/ABI/stable/sysfs-block). */
const SECTOR_BYTES = 512;

/**
 * Looks at one disk, and opens it the way it will be used, without reading or writing anything.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `DISK_IO`
 */
export async function readDiskStats(path: string, index: number, mode: 'read' | 'write'): Promise<DiskStats> {
  const stats = await statDisk(path, index);
  const device = stats.isBlockDevice() ? deviceNumber(stats.rdev) : undefined;
  if (device === undefined && !stats.isFile()) {
    throw diskError('DISK_KIND', path, index, `is ${kindName(stats)}`, 'A disk is a block device or a regular file.');
  }
  await tryToOpen(path, index, mode, device);
  if (device === undefined) return { kind: 'file', bytes: Number(stats.size), identity: `file ${stats.dev}:${stats.ino}` };
  return { kind: 'block', bytes: await deviceBytes(path, index, device), identity: `block ${device}` };
}

async function statDisk(path: string, index: number): Promise<BigIntStats> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw diskError('DISK_MISSING', path, index, 'is not there', 'Correct its path in the instance file, or activate the device.', error);
    }
    if (code === 'EACCES') throw denied(path, index, error);
    throw diskError('DISK_IO', path, index, `cannot be looked at: ${errorText(error)}`, undefined, error);
  }
}

async function tryToOpen(path: string, index: number, mode: 'read' | 'write', device: string | undefined): Promise<void> {
  // Linux opens a read-only device for writing too, and fails only when something is written.
  if (mode === 'write' && device !== undefined && (await isReadOnlyDevice(device))) throw readOnly(path, index);
  const flags = mode === 'read' ? constants.O_RDONLY : constants.O_RDWR;
  try {
    await (await open(path, flags | constants.O_NONBLOCK)).close();
  } catch (error) {
    const code = errorCode(error);
    // EPERM, unlike EACCES, comes even to root: the file has the attribute `immutable` or `append only` (ioctl_iflags(2)).
    if (code === 'EROFS' || (mode === 'write' && code === 'EPERM')) throw readOnly(path, index, error);
    if (code === 'EACCES' || code === 'EPERM') throw denied(path, index, error);
    throw diskError('DISK_IO', path, index, `cannot be opened: ${errorText(error)}`, undefined, error);
  }
}

async function isReadOnlyDevice(device: string): Promise<boolean> {
  return (await readFile(`/sys/dev/block/${device}/ro`, 'utf8').catch(() => '')).trim() === '1';
}

async function deviceBytes(path: string, index: number, device: string): Promise<number> {
  try {
    return Number((await readFile(`/sys/dev/block/${device}/size`, 'utf8')).trim()) * SECTOR_BYTES;
  } catch (error) {
    throw diskError('DISK_IO', path, index, `does not tell its size: ${errorText(error)}`, 'Is /sys mounted?', error);
  }
}

/** `major:minor`, as makedev(3) of Linux packs them. */
function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

function kindName(stats: BigIntStats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isCharacterDevice()) return 'a character device';
  if (stats.isFIFO()) return 'a named pipe';
  return stats.isSocket() ? 'a socket' : 'of an unknown kind';
}

function readOnly(path: string, index: number, cause?: unknown): GantryError {
  return diskError('DISK_READ_ONLY', path, index, 'is read-only', 'Make the device or its file system writable.', cause);
}

function denied(path: string, index: number, cause: unknown): GantryError {
  return diskError('DISK_DENIED', path, index, 'may not be opened by this user', 'Run Gantry as a user who may, most often root.', cause);
}

function diskError(code: GantryErrorCode, path: string, index: number, what: string, hint?: string, cause?: unknown): GantryError {
  return new GantryError(code, { message: `disk ${index}, ${path}, ${what}`, hint, disk: index, cause });
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
