import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';

/**
 * Writes all the bytes there.
 *
 * @throws GantryError `DISK_IO` and others
 */
export async function writeAll({ file, path }: OpenDisk, bytes: Uint8Array, at: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += (await file.write(bytes, written, bytes.length - written, at + written)).bytesWritten;
    } catch (error) {
      throw diskCallError(path, `writing ${bytes.length} bytes at byte ${at} of`, error);
    }
  }
}
