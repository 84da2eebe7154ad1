import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';

/** For larger writes Linux allocates memory in larger pieces, and filling them took up to five times as long. */
const MAX_WRITE_BYTES = 256 * 1024;

/**
 * Writes all bytes at this position.
 *
 * @throws GantryError `DISK_IO` and others
 */
export async function writeAll({ file, path }: OpenDisk, bytes: Uint8Array, at: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += (await file.write(bytes, written, Math.min(bytes.length - written, MAX_WRITE_BYTES), at + written)).bytesWritten;
    } catch (error) {
      throw diskCallError(path, `write ${bytes.length} bytes at byte ${at} of`, error);
    }
  }
}
