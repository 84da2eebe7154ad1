import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { getSystemErrorMessage } from 'node:util';

/** More than anybody writes by hand. */
const MAX_BYTES = 1024 * 1024;

/**
 * Reads a file that a user has written by hand: a regular file of at most 1 MiB.
 *
 * @param check may throw for what the opened file is
 * @throws Error with only the reason, without the file's name, which the caller knows; the signal's reason
 */
export async function readSmallFile(path: string, signal?: AbortSignal, check?: (stats: Stats) => void): Promise<Buffer> {
  signal?.throwIfAborted();
  await using file = await openToRead(path);
  const stats = await file.stat();
  if (!stats.isFile()) throw new Error('it is not a regular file');
  check?.(stats);
  const buffer = Buffer.allocUnsafe(MAX_BYTES + 1);
  let length = 0;
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    if (bytesRead === 0) return buffer.subarray(0, length);
    length += bytesRead;
    if (length > MAX_BYTES) throw new Error('it is larger than 1 MiB');
  }
}

async function openToRead(path: string): Promise<FileHandle> {
  try {
    // Opening a named pipe would wait for a writer, and no signal could end that.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (!(error instanceof Error) || !('errno' in error) || typeof error.errno !== 'number') throw error;
    // Node's own message repeats the path and the name of the system call.
    throw new Error(getSystemErrorMessage(error.errno), { cause: error });
  }
}
