import { callLibc, callLibcOnThread, SystemCallError } from './libc.ts';

/* <unistd.h> of Linux. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/* <linux/falloc.h>. */
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;

/**
 * Where the first data at or behind `offset` begins (lseek(2), SEEK_DATA); undefined where there is none up to the end. Where
 * the file system cannot tell, all is data.
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
 * Where the first hole at or behind `offset` begins, the end of the file being one (lseek(2), SEEK_HOLE); undefined where the file
 * system cannot tell, or the file ends before `offset`.
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
 * Makes a hole (fallocate(2)): the range reads as zeros afterwards, and takes no space. A block device is asked for the same; only one
 * that promises zeros does it. Runs on another thread.
 *
 * @returns false where it is not to be had, and nothing has changed
 * @throws SystemCallError
 */
export function punchHole(fd: number, offset: number, bytes: number): Promise<boolean> {
  return allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

/**
 * Makes the range read as zeros, with its space kept. The kernel may have to write them, so it may take as long as that. Runs on
 * another thread.
 *
 * @returns false where it is not to be had, and nothing has changed
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

/** What kernels and file systems say instead of "I cannot do that", as the man pages list them. */
function isUnsupported(error: unknown): boolean {
  return ['EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'ENODEV'].some((code) => hasCode(error, code));
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof SystemCallError && error.code === code;
}
