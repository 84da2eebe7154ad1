const CHUNK_LENGTH = 16 * 1024;

/** A growing list of unsigned 32-bit numbers, in 4 bytes each: a disk of 1 TiB has 262,144 frames. */
export class Uint32List {
  readonly #chunks: Uint32Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const place = this.#length % CHUNK_LENGTH;
    if (place === 0) this.#chunks.push(new Uint32Array(CHUNK_LENGTH));
    const chunk = this.#chunks.at(-1);
    if (chunk !== undefined) chunk[place] = value;
    this.#length += 1;
  }

  /** The value at an index, from 0; undefined beyond the end. */
  at(index: number): number | undefined {
    return index < this.#length ? this.#chunks[Math.floor(index / CHUNK_LENGTH)]?.[index % CHUNK_LENGTH] : undefined;
  }
}
