import { violation } from '../errors.ts';

/** Chunks should be multiples of this ("Request types", `NBD_CMD_READ`): it bounds how many parts one reply can have. */
const CHUNK_UNIT_BYTES = 512;

/** Which bytes of a read have come: each once, in any order. */
export class Coverage {
  readonly #offset: number;
  readonly #length: number;
  /** Apart from each other, in order: [begin, end). */
  readonly #parts: [number, number][] = [];
  #covered = 0;
  #chunks = 0;

  constructor(offset: number, length: number) {
    this.#offset = offset;
    this.#length = length;
  }

  get isFull(): boolean {
    return this.#covered === this.#length;
  }

  /**
   * Takes note of a chunk. @returns where it begins within the read
   * @throws NbdError `protocol` for what is outside, or has come before
   */
  add(offset: number, length: number): number {
    const [begin, end] = [offset - this.#offset, offset - this.#offset + length];
    if (length <= 0 || begin < 0 || end > this.#length)
      throw violation(`sent ${length} bytes at offset ${offset}, but ${this.#length} at ${this.#offset} were asked for`);
    this.#chunks += 1;
    if (this.#chunks > this.#length / CHUNK_UNIT_BYTES + 2)
      throw violation(`sent more than ${this.#chunks - 1} chunks for ${this.#length} bytes`);
    this.#insert(begin, end, offset);
    this.#covered += length;
    return begin;
  }

  #insert(begin: number, end: number, offset: number): void {
    const found = this.#parts.findLastIndex((part) => part[0] <= begin);
    const before = this.#parts[found];
    const after = this.#parts[found + 1];
    if ((before !== undefined && before[1] > begin) || (after !== undefined && after[0] < end))
      throw violation(`sent the bytes at offset ${offset} twice`);
    if (before?.[1] === begin) before[1] = end;
    else this.#parts.splice(found + 1, 0, [begin, end]);
  }
}
