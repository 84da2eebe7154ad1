import { callLibcOnThread } from './libc.ts';

/** <linux/fs.h>: starts to write, and waits for nothing. */
const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Has the system begin to write a range to the disk that it holds in memory (sync_file_range(2)). Nothing is durable by that, and no
 * failure of the disk is told: fsync(2) at the end tells it. Runs on another thread, since it waits while the disk has enough to do.
 *
 * @throws SystemCallError
 */
export async function startWriteback(fd: number, offset: number, bytes: number): Promise<void> {
  await callLibcOnThread('sync_file_range', fd, offset, bytes, SYNC_FILE_RANGE_WRITE);
}
