/**
 * Yields some chunks and then hangs: it yields neither another chunk nor an end.
 */
export class StallingSource implements AsyncIterable<Uint8Array> {
  /** Resolves when the chunk that never comes is asked for. */
  readonly stalled: Promise<void>;
  /** Resolves when the consumer closes it. */
  readonly released: Promise<void>;
  readonly #chunks: Uint8Array[];
  readonly #stalled: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  readonly #released: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  constructor(chunks: readonly Uint8Array[]) {
    this.#chunks = [...chunks];
    this.stalled = this.#stalled.promise;
    this.released = this.#released.promise;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        const value = this.#chunks.shift();
        if (value !== undefined) return { done: false, value };
        this.#stalled.resolve();
        return new Promise(() => undefined);
      },
      return: async () => {
        this.#released.resolve();
        return { done: true, value: undefined };
      },
    };
  }
}
