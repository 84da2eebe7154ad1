import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

/** How many bytes of disk space a file takes: less than its size if it has holes. */
export async function allocatedBytes(path: string): Promise<number> {
  // st_blocks counts units of 512 bytes for any block size of the file system (stat(2)).
  return (await stat(path)).blocks * 512;
}

/** SHA-256 of a file or block device, 64 lower-case hexadecimal digits. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk);
  return hash.digest('hex');
}
