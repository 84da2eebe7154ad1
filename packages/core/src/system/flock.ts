import { callLibc, SystemCallError } from './libc.ts';

/* <bits/fcntl-linux.h>, the same on every architecture of Linux. */
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Locks an open file (flock(2)) without waiting: false when another process holds the lock. The lock belongs to the open file
 * description: closing its last descriptor releases it, and so does the death of the process.
 *
 * @throws SystemCallError when the file cannot be locked at all
 */
export function tryFlock(fd: number, mode: 'exclusive' | 'shared'): boolean {
  try {
    callLibc('flock', fd, (mode === 'exclusive' ? LOCK_EX : LOCK_SH) | LOCK_NB);
    return true;
  } catch (error) {
    if (error instanceof SystemCallError && error.code === 'EWOULDBLOCK') return false;
    if (error instanceof SystemCallError && error.code === 'EAGAIN') return false;
    throw error;
  }
}
