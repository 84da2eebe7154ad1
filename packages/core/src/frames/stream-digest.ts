import { createHash } from 'node:crypto';
import { createNativeSha256 } from '../system/sha256.ts';

/** From so many bytes on, a digest on another thread is worth the way there. */
const FEWEST_ASIDE = 64 * 1024;

/** SHA-256 of a stream. Large chunks are digested on another thread, so that this one can get on. */
export class StreamDigest implements Disposable {
  readonly #native = createNativeSha256();
  readonly #here = this.#native === undefined ? createHash('sha256') : undefined;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** The bytes must stay as they are until the promise resolves. */
  update(bytes: Uint8Array): Promise<void> {
    const native = this.#native;
    if (native === undefined) this.#here?.update(bytes);
    else if (this.#waiting === 0 && bytes.length < FEWEST_ASIDE) native.updateHere(bytes);
    else return this.#updateAside(() => native.update(bytes));
    return this.#last;
  }

  /** Lower-case hexadecimal; once, at the end. */
  async hex(): Promise<string> {
    await this.#last;
    const digest = this.#native === undefined ? this.#here?.digest() : this.#native.digest();
    return (digest ?? Buffer.alloc(0)).toString('hex');
  }

  /** Lets go of the memory, when the last update is done. */
  [Symbol.dispose](): void {
    const free = (): void => this.#native?.free();
    void this.#last.then(free, free);
  }

  #updateAside(update: () => Promise<void>): Promise<void> {
    this.#waiting += 1;
    this.#last = this.#last.then(update).finally(() => {
      this.#waiting -= 1;
    });
    return this.#last;
  }
}
