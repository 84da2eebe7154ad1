import { callLibcOnThread } from './libc.ts';

/** <linux/fs.h>: starts writing without waiting. */
const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Starts writing a range from the page cache to the disk (sync_file_range(2)). This makes nothing durable and reports no errors of the
 * disk; fsync(2) at the end does both. Runs on another thread, since it waits while the disk's queue is full.
 *
 * @throws SystemCallError
 */
export async function startWriteback(fd: number, offset: number, bytes: number): Promise<void> {
  await callLibcOnThread('sync_file_range', fd, offset, bytes, SYNC_FILE_RANGE_WRITE);
}
