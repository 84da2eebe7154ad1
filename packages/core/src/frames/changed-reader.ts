import type { ChangedFrames } from './changed-frames.ts';
import type { ChangesReader, PartsReader } from './plain-reader.ts';
import type { Hole, Unchanged } from './types.ts';

/** Reads the changed frames of a disk, and passes over the others. */
export class ChangedReader implements ChangesReader {
  readonly #reader: PartsReader;
  readonly #changed: ChangedFrames;
  /** The run that is read, or comes next. */
  #run = 0;
  #at = 0;
  #isSelected = false;

  constructor(reader: PartsReader, changed: ChangedFrames) {
    this.#reader = reader;
    this.#changed = changed;
  }

  async read(output: Uint8Array): Promise<number | Hole | Unchanged | undefined> {
    for (;;) {
      const { offset, length } = this.#changed.runs[this.#run] ?? { offset: this.#changed.diskBytes, length: 0 };
      if (this.#at < offset) {
        const unchanged = offset - this.#at;
        this.#at = offset;
        return { unchanged };
      }
      if (length === 0) return undefined;
      if (!this.#isSelected) this.#reader.select(offset, length);
      this.#isSelected = true;
      const piece = await this.#reader.read(output);
      if (piece !== undefined) return piece;
      this.#at = offset + length;
      this.#run += 1;
      this.#isSelected = false;
    }
  }
}
