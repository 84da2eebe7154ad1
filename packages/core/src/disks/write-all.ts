import { diskCallError } from './disk-errors.ts';
import type { OpenDisk } from './open-disk.ts';

/** For larger calls Linux looks for memory in larger pieces, which it took up to five times as long to fill. Bytes. */
const MOST_AT_ONCE = 256 * 1024;

/**
 * Writes all the bytes there.
 *
 * @throws GantryError `DISK_IO` and others
 */
export async function writeAll({ file, path }: OpenDisk, bytes: Uint8Array, at: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += (await file.write(bytes, written, Math.min(bytes.length - written, MOST_AT_ONCE), at + written)).bytesWritten;
    } catch (error) {
      throw diskCallError(path, `writing ${bytes.length} bytes at byte ${at} of`, error);
    }
  }
}
