import { callLibc, SystemCallError } from './libc.ts';

/* <bits/fcntl-linux.h>, the same on every architecture of Linux. */
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_SETLEASE = 1024;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;

/** An advisory lock of another process on bytes of a file. */
export interface FoundLock {
  /** The owner; undefined for a lock of an open file description (F_OFD_SETLK), which does not belong to a process. */
  readonly pid: number | undefined;
  readonly start: number;
}

/**
 * Finds another process's lock (fcntl(2): POSIX or open file description) on any of `bytes` bytes from `start`; 0 means up to the end.
 * The kernel reports the locks of all processes, including those of other users and containers.
 *
 * @returns undefined where there is none, or the file system does not support locks
 */
export function findFileLock(fd: number, start: number, bytes: number): FoundLock | undefined {
  const lock = flockStruct(F_WRLCK, start, bytes);
  try {
    callLibc('fcntl_pointer', fd, F_OFD_GETLK, lock);
  } catch (error) {
    if (error instanceof SystemCallError) return undefined;
    throw error;
  }
  if (lock.readInt16LE(0) === F_UNLCK) return undefined;
  const pid = lock.readInt32LE(24);
  return { pid: pid > 0 ? pid : undefined, start: Number(lock.readBigInt64LE(8)) };
}

/**
 * Puts a shared lock of the open file description on some bytes, without waiting; closing the file releases it. Does nothing where the
 * file system does not support locks, or another process has an exclusive one.
 *
 * @param fd open for reading
 */
export function lockFileShared(fd: number, start: number, bytes: number): void {
  try {
    callLibc('fcntl_pointer', fd, F_OFD_SETLK, flockStruct(F_RDLCK, start, bytes));
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
  }
}

/** struct flock where long has 64 bits: short type, short whence, long start, long length, int pid. */
function flockStruct(type: number, start: number, bytes: number): Buffer {
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(type, 0);
  lock.writeBigInt64LE(BigInt(start), 8);
  lock.writeBigInt64LE(BigInt(bytes), 16);
  return lock;
}

/**
 * Whether anybody else has a regular file open: a process of any user or container, or the kernel itself (a loop device, an iSCSI
 * target, swap). The kernel grants a write lease (F_SETLEASE) only for a file that nobody else has open; it is given back at once.
 *
 * @param fd open for reading only
 * @returns undefined where that cannot be found out: leases need the file's owner or CAP_LEASE, and a local file system
 */
export function isOpenElsewhere(fd: number): boolean | undefined {
  // If somebody opens the file during the lease, the kernel sends SIGIO, which ends a process that does not catch it.
  const ignore = (): void => undefined;
  process.on('SIGIO', ignore);
  try {
    callLibc('fcntl', fd, F_SETLEASE, F_WRLCK);
    callLibc('fcntl', fd, F_SETLEASE, F_UNLCK);
    return false;
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    return error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK' ? true : undefined;
  } finally {
    // The signal may still be pending: without a handler it would end the process.
    setImmediate(() => process.off('SIGIO', ignore));
  }
}
