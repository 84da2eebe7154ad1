import { JOB_BLOCKS, JOB_SEALED_BYTES } from './block-job.ts';
import { BlockQueue } from './block-queue.ts';
import { BLOCK_BYTES, SEALED_BLOCK_BYTES, sealedBytes } from './payload.ts';
import { asStream, collect } from './whole-file.ts';

const JOB_PLAIN_BYTES: number = JOB_BLOCKS * BLOCK_BYTES;

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
   * other bytes. A chunk is valid until the next one is requested, here and in the source. Uses at most 4 MiB of memory, and a thread of the process.
   */
  async *encrypt(plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    yield this.start;
    const queue = new BlockQueue('seal', this.#key);
    let memory = queue.memory(JOB_SEALED_BYTES);
    let filled = 0;
    let first = 0;
    for await (const chunk of plain) {
      for (let at = 0; at < chunk.length;) {
        // The last block must be known as such: memory that is full waits for another byte.
        if (filled === JOB_PLAIN_BYTES) {
          queue.push(memory, { first, sealedBytes: JOB_SEALED_BYTES, endsFile: false });
          first += JOB_BLOCKS;
          if (queue.isFull) yield await queue.next();
          memory = queue.memory(JOB_SEALED_BYTES);
          filled = 0;
        }
        const taken = fill(memory, filled, chunk.subarray(at));
        filled += taken;
        at += taken;
      }
    }
    queue.push(memory, { first, sealedBytes: sealedBytes(filled), endsFile: true });
    while (!queue.isEmpty) yield await queue.next();
  }

  /** {@link NewFile.encrypt} for a small file. */
  async encryptBytes(plain: Uint8Array): Promise<Buffer> {
    return await collect(this.encrypt(asStream(plain)));
  }
}

/** Puts bytes into the block at this place, which has room for its tag. @returns how many */
function fill(memory: Uint8Array, filled: number, bytes: Uint8Array): number {
  const inBlock = filled % BLOCK_BYTES;
  const taken = Math.min(BLOCK_BYTES - inBlock, bytes.length);
  memory.set(bytes.subarray(0, taken), Math.floor(filled / BLOCK_BYTES) * SEALED_BLOCK_BYTES + inBlock);
  return taken;
}
