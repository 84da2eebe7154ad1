import type { Hole } from './types.ts';

/**
 * A plain stream that is read into memory that the caller provides: the output of a script, or the contents of a disk. The code that
 * opened it also closes it.
 */
export interface PlainReader {
  /**
   * Reads the next bytes, at least one, to the start of `output`. Only one call at a time.
   *
   * @returns the number of bytes; a hole, for which `output` is not changed; undefined at the end
   * @throws the error of the read; after that, `output` may still be written to for some time
   */
  read(output: Uint8Array): Promise<number | Hole | undefined>;
}
