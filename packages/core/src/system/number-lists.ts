const CHUNK_LENGTH = 16 * 1024;

/** A growing list of numbers in as little memory as they need: a disk of 1 TiB has 262,144 frames. */
class NumberList {
  readonly #create: (length: number) => Uint32Array | Float64Array;
  readonly #chunks: (Uint32Array | Float64Array)[] = [];
  #length = 0;

  constructor(create: (length: number) => Uint32Array | Float64Array) {
    this.#create = create;
  }

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const place = this.#length % CHUNK_LENGTH;
    if (place === 0) this.#chunks.push(this.#create(CHUNK_LENGTH));
    const chunk = this.#chunks.at(-1);
    if (chunk !== undefined) chunk[place] = value;
    this.#length += 1;
  }

  /** The value at an index, from 0; undefined beyond the end. */
  at(index: number): number | undefined {
    return index < this.#length ? this.#chunks[Math.floor(index / CHUNK_LENGTH)]?.[index % CHUNK_LENGTH] : undefined;
  }
}

/** Unsigned numbers of 32 bits, in 4 bytes each. */
export class Uint32List extends NumberList {
  constructor() {
    super((length) => new Uint32Array(length));
  }
}

/** Numbers up to 2^53, in 8 bytes each. */
export class Float64List extends NumberList {
  constructor() {
    super((length) => new Float64Array(length));
  }
}

/** Values of a fixed number of bytes, such as digests. */
export class BytesList {
  readonly #width: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  /** @param width bytes of each value */
  constructor(width: number) {
    this.#width = width;
  }

  get length(): number {
    return this.#length;
  }

  push(value: Uint8Array): void {
    const place = this.#length % CHUNK_LENGTH;
    if (place === 0) this.#chunks.push(Buffer.alloc(CHUNK_LENGTH * this.#width));
    this.#chunks.at(-1)?.set(value.subarray(0, this.#width), place * this.#width);
    this.#length += 1;
  }

  /** The value at an index, from 0, which must not be changed; undefined beyond the end. */
  at(index: number): Uint8Array | undefined {
    if (index >= this.#length) return undefined;
    const start = (index % CHUNK_LENGTH) * this.#width;
    return this.#chunks[Math.floor(index / CHUNK_LENGTH)]?.subarray(start, start + this.#width);
  }
}
