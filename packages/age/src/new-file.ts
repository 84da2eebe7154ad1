import { sealedBytes } from './payload.ts';
import { sealHere, sealsHere } from './seal-here.ts';
import { sealOnThread } from './seal-on-thread.ts';
import { asStream, collect } from './whole-file.ts';

/** Makes the blocks of a file. */
export type Seal = (key: Uint8Array, plain: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>;

/** A file that is being encrypted. Only {@link Recipients} makes them. */
export class NewFile {
  /** Header and nonce: what the file begins with. */
  readonly start: Uint8Array;
  readonly #key: Uint8Array;

  constructor(start: Uint8Array, key: Uint8Array) {
    this.start = start;
    this.#key = key;
  }

  /** The size of the file with that many plain bytes. */
  size(plainBytes: number): number {
    return this.start.length + sealedBytes(plainBytes);
  }

  /**
   * The whole file, of these plain bytes. Called again, it must get the same ones, and makes the same file: the same key must never encrypt
   * other bytes. A chunk is valid until the next one is requested, here and in the source. Uses at most 4 MiB of memory, and a thread of
   * the process where there are enough processors.
   */
  async *encrypt(
    plain: AsyncIterable<Uint8Array>,
    seal: Seal = sealsHere() ? sealHere : sealOnThread,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    yield this.start;
    yield* seal(this.#key, plain);
  }

  /** {@link NewFile.encrypt} for a small file. */
  async encryptBytes(plain: Uint8Array): Promise<Buffer> {
    return await collect(this.encrypt(asStream(plain)));
  }
}
