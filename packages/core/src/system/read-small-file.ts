import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { getSystemErrorMessage } from 'node:util';

/** More than anybody writes by hand. Bytes. */
const MOST_BYTES = 1024 * 1024;

/**
 * Reads a file that a user names and writes by hand: a regular one, of 1 MiB at most.
 *
 * @throws Error with the reason alone: the caller knows of which file; the signal's reason
 */
export async function readSmallFile(path: string, signal?: AbortSignal): Promise<Buffer> {
  signal?.throwIfAborted();
  await using file = await openToRead(path);
  const stats = await file.stat();
  if (!stats.isFile()) throw new Error('it is not a regular file');
  const buffer = Buffer.allocUnsafe(MOST_BYTES + 1);
  let length = 0;
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
    if (length > MOST_BYTES) throw new Error('it has more than 1 MiB');
  }
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    // A named pipe without a writer would hold the open until one comes, and no signal could end that.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') throw error;
    // Node's own message repeats the path and the name of the system call.
    throw new Error(getSystemErrorMessage(error.errno), { cause: error });
  }
}
