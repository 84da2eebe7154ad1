import { availableParallelism } from 'node:os';
import { NODE_CIPHER } from './block-cipher.ts';
import { JOB_SEALED_BYTES } from './block-job.ts';
import { findNativeCipher } from './native-cipher.ts';
import { BLOCK_BYTES, blockNonce, TAG_BYTES } from './payload.ts';

/**
 * With more, the encryption has a thread. With these, it would have no processor of its own: it takes time to start, and the bytes take one
 * more copy to reach it (docs/decisions/0197).
 */
const MAX_PROCESSORS = 2;

/** Whether the main thread should encrypt. */
export function sealsHere(): boolean {
  return availableParallelism() <= MAX_PROCESSORS;
}

/**
 * The blocks of a file, encrypted on this thread: straight from the chunks, but for a block at the end of each. Yields pieces of several
 * blocks, each of which is valid until the next one is requested.
 */
export async function* sealHere(key: Uint8Array, plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const piece = new SealedPiece(key);
  /** What is not encrypted yet: the last block of a file is marked as such, so each waits for the next byte. */
  const rest = new Uint8Array(BLOCK_BYTES);
  let restBytes = 0;
  for await (const chunk of plain) {
    let at = 0;
    while (restBytes + chunk.length - at > BLOCK_BYTES) {
      if (restBytes === 0) piece.add(chunk.subarray(at, at + BLOCK_BYTES));
      else piece.add(joined(rest, restBytes, chunk.subarray(at)));
      at += BLOCK_BYTES - restBytes;
      restBytes = 0;
      if (piece.isFull) yield piece.take();
    }
    rest.set(chunk.subarray(at), restBytes);
    restBytes += chunk.length - at;
  }
  piece.add(rest.subarray(0, restBytes), { endsFile: true });
  yield piece.take();
}

/** The block whose first bytes are in `rest`: the others come from the chunk. */
function joined(rest: Uint8Array, restBytes: number, chunk: Uint8Array): Uint8Array {
  rest.set(chunk.subarray(0, rest.length - restBytes), restBytes);
  return rest;
}

/** Memory that is filled with encrypted blocks, again and again. */
class SealedPiece {
  readonly #key: Uint8Array;
  readonly #cipher = findNativeCipher() ?? NODE_CIPHER;
  readonly #memory = new Uint8Array(JOB_SEALED_BYTES);
  #filled = 0;
  #index = 0;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  get isFull(): boolean {
    return this.#filled === this.#memory.length;
  }

  add(plain: Uint8Array, { endsFile = false }: { readonly endsFile?: boolean } = {}): void {
    const end = this.#filled + plain.length + TAG_BYTES;
    this.#cipher.seal(this.#key, blockNonce(this.#index, endsFile), plain, this.#memory.subarray(this.#filled, end));
    this.#filled = end;
    this.#index += 1;
  }

  take(): Uint8Array {
    const taken = this.#memory.subarray(0, this.#filled);
    this.#filled = 0;
    return taken;
  }
}
