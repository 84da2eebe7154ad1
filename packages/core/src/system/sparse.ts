import { callLibc, callLibcOnThread, SystemCallError } from './libc.ts';

/* <unistd.h> of Linux. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/* <linux/falloc.h>. */
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;

/**
 * Where the first data at or after `offset` starts (lseek(2), SEEK_DATA); undefined where there is none up to the end. Where the file
 * system does not report holes, everything is data.
 *
 * @throws SystemCallError
 */
export function findData(fd: number, offset: number): number | undefined {
  try {
    return callLibc('lseek', fd, offset, SEEK_DATA);
  } catch (error) {
    if (hasCode(error, 'ENXIO')) return undefined;
    if (isUnsupported(error)) return offset;
    throw error;
  }
}

/**
 * Where the first hole at or after `offset` starts; the end of the file counts as one (lseek(2), SEEK_HOLE). Undefined where the file
 * system does not report holes, or the file ends before `offset`.
 *
 * @throws SystemCallError
 */
export function findHole(fd: number, offset: number): number | undefined {
  try {
    return callLibc('lseek', fd, offset, SEEK_HOLE);
  } catch (error) {
    if (hasCode(error, 'ENXIO') || isUnsupported(error)) return undefined;
    throw error;
  }
}

/**
 * Punches a hole (fallocate(2)): the range then reads as zeros and uses no space. A block device does it only if it guarantees zeros.
 * Runs on another thread.
 *
 * @returns false where it is not supported; nothing has changed then
 * @throws SystemCallError
 */
export function punchHole(fd: number, offset: number, bytes: number): Promise<boolean> {
  return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

/**
 * Makes the range read as zeros and keeps its space allocated. May take as long as writing zeros. Runs on another thread.
 *
 * @returns false where it is not supported; nothing has changed then
 * @throws SystemCallError
 */
export function zeroRange(fd: number, offset: number, bytes: number): Promise<boolean> {
  return allocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

async function allocate(fd: number, mode: number, offset: number, bytes: number): Promise<boolean> {
  try {
    await callLibcOnThread('fallocate', fd, mode, offset, bytes);
    return true;
  } catch (error) {
    if (isUnsupported(error)) return false;
    throw error;
  }
}

/** The errors by which kernels and file systems say "not supported", according to the man pages. */
function isUnsupported(error: unknown): boolean {
  return ['EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'ENODEV'].some((code) => hasCode(error, code));
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof SystemCallError && error.code === code;
}
