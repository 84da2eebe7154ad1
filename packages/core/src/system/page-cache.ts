import { callLibc } from './libc.ts';

/** <fcntl.h>; 6 on s390x, where Node calls it `linux` too. */
const POSIX_FADV_DONTNEED = process.arch === 's390x' ? 6 : 4;

/**
 * Drops what the page cache keeps of an open file or device (posix_fadvise(2)), so that later reads get it from the disk. Pages that were
 * changed and not written yet stay.
 */
export function dropCachedPages(fd: number): void {
  // A file system that does not support it has no pages to drop.
  callLibc('posix_fadvise', fd, 0, 0, POSIX_FADV_DONTNEED);
}
