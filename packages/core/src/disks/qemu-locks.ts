import { findFileLock, lockFileShared } from '../system/file-locks.ts';

/*
 * QEMU tells others what it does with an image by locks on single bytes of it (block/file-posix.c): byte 100 + n for a permission
 * that it uses, 200 + n for one that it grants nobody else. The locks are shared ones; who wants a permission looks whether somebody
 * has the byte that forbids it. n is the bit of BLK_PERM_CONSISTENT_READ, _WRITE, _WRITE_UNCHANGED, _RESIZE (block/block-common.h).
 */

const USES = 100;
const FORBIDS = 200;
const PERMISSIONS = 4;
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/** By QEMU's kind of lock, and no other that happens to cover these bytes. */
function isLocked(fd: number, start: number, bytes: number): boolean {
  const lock = findFileLock(fd, start, bytes);
  return lock !== undefined && lock.pid === undefined && lock.start >= USES;
}

/** What QEMU does with an image that somebody has open with it; undefined where nobody has, or its locks are switched off. */
export function findQemuUse(fd: number): 'writes' | 'reads' | undefined {
  if (isLocked(fd, USES + WRITE, 1)) return 'writes';
  return [USES, FORBIDS].some((start) => isLocked(fd, start, PERMISSIONS)) ? 'reads' : undefined;
}

/**
 * Keeps every QEMU from opening an image, until the file is closed, as a QEMU that writes it would: a guest that is started meanwhile
 * fails with a message of a lock.
 *
 * @param fd open for reading and writing
 * @returns false where QEMU has the image open already
 */
export function lockAgainstQemu(fd: number): boolean {
  for (const byte of [USES + WRITE, FORBIDS + CONSISTENT_READ, FORBIDS + WRITE, FORBIDS + RESIZE]) lockFileShared(fd, byte, 1);
  return findQemuUse(fd) === undefined;
}
