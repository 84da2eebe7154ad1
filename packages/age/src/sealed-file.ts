import { AgeError } from './errors.ts';
import { BLOCK_BYTES, openBlock, plainBytesOf, SEALED_BLOCK_BYTES } from './payload.ts';

/** Where an encrypted file is read from. */
export interface SealedSource {
  /** Bytes of the whole file. */
  readonly size: number;
  /** Exactly these bytes of the file. A chunk may be overwritten when the next one is asked for. */
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}

/** An encrypted file that can be read. Only {@link Identities} makes them. */
export class SealedFile {
  /** As the size of the file says: it is proven when the last byte is read. */
  readonly plainBytes: number;
  readonly #source: SealedSource;
  readonly #start: number;
  readonly #key: Uint8Array;

  constructor(source: SealedSource, start: number, key: Uint8Array) {
    this.plainBytes = plainBytesOf(source.size - start);
    this.#source = source;
    this.#start = start;
    this.#key = key;
  }

  /** The same file from another source: of whose first bytes nothing is read again. */
  from(source: SealedSource): SealedFile {
    return new SealedFile(source, this.#start, this.#key);
  }

  /**
   * The plain bytes of a range, each of which was authenticated before it comes out. A read to the end proves that nothing is missing there.
   *
   * @throws RangeError for one that is not in the file; AgeError `damaged`; what the source throws
   */
  async *read(offset = 0, length: number = this.plainBytes - offset): AsyncGenerator<Uint8Array, void, undefined> {
    const end = offset + length;
    if (offset < 0 || length < 0 || end > this.plainBytes)
      throw new RangeError(`${offset}+${length} is outside of the ${this.plainBytes} plain bytes`);
    if (length === 0 && this.plainBytes > 0) return;
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.max(first, Math.ceil(end / BLOCK_BYTES) - 1);
    const lastOfAll = Math.max(0, Math.ceil(this.plainBytes / BLOCK_BYTES) - 1);
    const from = this.#start + first * SEALED_BLOCK_BYTES;
    const to = last === lastOfAll ? this.#source.size : this.#start + (last + 1) * SEALED_BLOCK_BYTES;
    let index = first;
    for await (const block of inBlocks(this.#source.read(from, to - from))) {
      const plain = openBlock(this.#key, index, index === lastOfAll, block);
      const at = index * BLOCK_BYTES;
      index += 1;
      yield plain.subarray(Math.max(0, offset - at), Math.min(plain.length, end - at));
    }
    if (index !== last + 1) throw new AgeError('damaged', `the file is cut off in block ${index}`);
  }
}

/** The same bytes, in pieces of whole blocks but for the last. */
async function* inBlocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const held = Buffer.allocUnsafe(SEALED_BLOCK_BYTES);
  let heldBytes = 0;
  for await (const chunk of chunks) {
    let at = 0;
    while (at < chunk.length) {
      if (heldBytes === 0 && chunk.length - at >= SEALED_BLOCK_BYTES) {
        yield chunk.subarray(at, at + SEALED_BLOCK_BYTES);
        at += SEALED_BLOCK_BYTES;
        continue;
      }
      const taken = Math.min(SEALED_BLOCK_BYTES - heldBytes, chunk.length - at);
      held.set(chunk.subarray(at, at + taken), heldBytes);
      heldBytes += taken;
      at += taken;
      if (heldBytes === SEALED_BLOCK_BYTES) {
        yield held;
        heldBytes = 0;
      }
    }
  }
  if (heldBytes > 0) yield held.subarray(0, heldBytes);
}
