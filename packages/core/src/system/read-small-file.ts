import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** More than anybody writes by hand. Bytes. */
const MOST_BYTES = 1024 * 1024;

/**
 * Reads a file that a user names and writes by hand: a regular one, of 1 MiB at most.
 *
 * @throws Error with the reason alone: the caller knows of which file; the signal's reason
 */
export async function readSmallFile(path: string, signal?: AbortSignal): Promise<Buffer> {
  signal?.throwIfAborted();
  // A named pipe without a writer would hold the open until one comes, and no signal could end that.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
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
