import type { Hole } from './types.ts';

/**
 * A plain stream that is read into memory of the reader's choice: what a script writes, or what a disk holds. Whoever opened it
 * closes it.
 */
export interface PlainReader {
  /**
   * Reads what comes next, at least one byte, to the start of `output`. One call at a time.
   *
   * @returns how many bytes; a hole, for which `output` stays as it is; undefined at the end
   * @throws whatever reading failed with; `output` may be written to for some time after that
   */
  read(output: Uint8Array): Promise<number | Hole | undefined>;
}
