import { callLibc } from './libc.ts';

const SEEK_END = 2;
/** Gets whether the device is read-only, as an int (<linux/fs.h>: `_IO(0x12, 94)`). */
const BLKROGET = 0x125e;

/**
 * Size of an open block device in bytes (stat(2) says 0). Works for a regular file too.
 *
 * @throws SystemCallError
 */
export function blockDeviceSize(fd: number): number {
  return callLibc('lseek', fd, 0, SEEK_END);
}

/**
 * Whether an open block device is set read-only. Such a device can still be opened for writing; only writing fails.
 *
 * @throws SystemCallError
 */
export function isReadOnlyDevice(fd: number): boolean {
  const answer = Buffer.alloc(4);
  callLibc('ioctl', fd, BLKROGET, answer);
  return answer.readInt32LE(0) !== 0;
}
