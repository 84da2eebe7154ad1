import type { Hole, Unchanged } from './types.ts';

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

/**
 * A disk of which something trustworthy says what has changed since the parent export: the rest is not read. Every {@link PlainReader} is
 * one that reads everything.
 */
export interface ChangesReader {
  /** As in {@link PlainReader}; or what has not changed, only at the start of a frame of the parent. */
  read(output: Uint8Array): Promise<number | Hole | Unchanged | undefined>;
}

/** A reader of a disk, any part of which can be read alone. */
export interface PartsReader extends PlainReader {
  /** From now on, `read` gives this part (bytes) and then its end; without a call, it gives the whole disk. Only between two reads. */
  select(offset: number, length: number): void;
}
