/**
 * Can cut a wait short. Unlike `Promise.race` with one long-lived promise, waiting a million times leaves nothing behind. One waiter at
 * a time.
 */
export class Interruption implements Disposable {
  #interrupted: { readonly reason: unknown } | undefined;
  #reject: ((reason: unknown) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.interrupt(this.#signal?.reason);

  /** @param signal interrupts with its reason when aborted */
  constructor(signal?: AbortSignal) {
    this.#signal = signal;
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Makes the current wait and every later one reject with `reason`; only the first call counts. */
  interrupt(reason: unknown): void {
    if (this.#interrupted !== undefined) return;
    this.#interrupted = { reason };
    this.#reject?.(reason);
  }

  /** Settles like `work`, or rejects when interrupted; `work` then goes on, and its result is ignored. */
  async race<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    // Always handled, so that a late failure of `work` is not an unhandled rejection.
    work.then(resolve, reject);
    if (this.#interrupted !== undefined) reject(this.#interrupted.reason);
    this.#reject = reject;
    try {
      return await promise;
    } finally {
      this.#reject = undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}
