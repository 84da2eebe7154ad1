import { callLibc } from './libc.ts';

const SEEK_END = 2;

/**
 * Bytes of an open block device, whose stat(2) says 0. Works for a regular file too.
 *
 * @throws SystemCallError
 */
export function blockDeviceSize(fd: number): number {
  return callLibc('lseek', fd, 0, SEEK_END);
}
