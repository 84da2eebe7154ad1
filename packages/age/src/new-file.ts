import { BLOCK_BYTES, sealBlock, sealedBytes } from './payload.ts';

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
   * other bytes. A chunk of the source may be overwritten when the next one is asked for; those that come out are new.
   */
  async *encrypt(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    yield this.start;
    // The last block must be known as such, so that one is always held back.
    const held = Buffer.allocUnsafe(BLOCK_BYTES);
    let heldBytes = 0;
    let index = 0;
    for await (const chunk of plain) {
      const parts: Uint8Array[] = [];
      let at = 0;
      while (at < chunk.length) {
        if (heldBytes === BLOCK_BYTES) {
          parts.push(...sealBlock(this.#key, index, false, held));
          index += 1;
          heldBytes = 0;
        }
        if (heldBytes === 0 && chunk.length - at > BLOCK_BYTES) {
          // A whole block that is not the last goes straight from the chunk.
          parts.push(...sealBlock(this.#key, index, false, chunk.subarray(at, at + BLOCK_BYTES)));
          index += 1;
          at += BLOCK_BYTES;
          continue;
        }
        const taken = Math.min(BLOCK_BYTES - heldBytes, chunk.length - at);
        held.set(chunk.subarray(at, at + taken), heldBytes);
        heldBytes += taken;
        at += taken;
      }
      if (parts.length > 0) yield Buffer.concat(parts);
    }
    yield Buffer.concat(sealBlock(this.#key, index, true, held.subarray(0, heldBytes)));
  }
}
