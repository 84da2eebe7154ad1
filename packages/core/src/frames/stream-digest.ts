import { createHash } from 'node:crypto';
import { createNativeSha256 } from '../system/sha256.ts';

/** For smaller chunks, moving the work to another thread takes longer than the digest. */
const MIN_BYTES_FOR_THREAD = 64 * 1024;

/** SHA-256 of a stream. Large chunks are digested on another thread, so that this one can continue. */
export class StreamDigest implements Disposable {
  readonly #native = createNativeSha256();
  readonly #here = this.#native === undefined ? createHash('sha256') : undefined;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** The bytes must not change until the promise resolves. */
  update(bytes: Uint8Array): Promise<void> {
    const native = this.#native;
    if (native === undefined) this.#here?.update(bytes);
    else if (this.#waiting === 0 && bytes.length < MIN_BYTES_FOR_THREAD) native.updateHere(bytes);
    else return this.#updateOnThread(() => native.update(bytes));
    return this.#last;
  }

  /** The digest in lower-case hexadecimal; to be called once, at the end. */
  async hex(): Promise<string> {
    await this.#last;
    const digest = this.#native === undefined ? this.#here?.digest() : this.#native.digest();
    return (digest ?? Buffer.alloc(0)).toString('hex');
  }

  /** Frees the memory when the last update is done. */
  [Symbol.dispose](): void {
    const free = (): void => this.#native?.free();
    void this.#last.then(free, free);
  }

  #updateOnThread(update: () => Promise<void>): Promise<void> {
    this.#waiting += 1;
    this.#last = this.#last.then(update).finally(() => {
      this.#waiting -= 1;
    });
    return this.#last;
  }
}
