import { findFileLock, lockFileShared } from '../system/file-locks.ts';

/*
 * QEMU shows others how it uses an image by locks on single bytes of it (block/file-posix.c): byte 100 + n for a permission that it
 * uses, 200 + n for one that it denies to others. The locks are shared locks; before using a permission, a program checks for a lock on
 * the byte that denies it. n is the bit of BLK_PERM_CONSISTENT_READ, _WRITE, _WRITE_UNCHANGED, _RESIZE (block/block-common.h).
 */

const USED = 100;
const DENIED = 200;
const PERMISSIONS = 4;
const CONSISTENT_READ = 0;
const WRITE = 1;
const RESIZE = 3;

/** Whether QEMU's kind of lock is there, and not just another lock that covers these bytes. */
function isLocked(fd: number, start: number, bytes: number): boolean {
  const lock = findFileLock(fd, start, bytes);
  return lock !== undefined && lock.pid === undefined && lock.start >= USED;
}

/** How QEMU uses an image; undefined if no QEMU has it open, or one with locking switched off. */
export function findQemuUse(fd: number): 'writes' | 'reads' | undefined {
  if (isLocked(fd, USED + WRITE, 1)) return 'writes';
  return [USED, DENIED].some((start) => isLocked(fd, start, PERMISSIONS)) ? 'reads' : undefined;
}

/**
 * Prevents QEMU from opening an image until the file is closed, as a QEMU that writes it would: a guest that is started meanwhile fails
 * with an error about a lock.
 *
 * @param fd open for reading and writing
 * @returns false if QEMU already has the image open
 */
export function lockAgainstQemu(fd: number): boolean {
  for (const byte of [USED + WRITE, DENIED + CONSISTENT_READ, DENIED + WRITE, DENIED + RESIZE]) lockFileShared(fd, byte, 1);
  return findQemuUse(fd) === undefined;
}
