/**
 * Gives some chunks and then nothing any more: neither a further one nor an end. Counts how it is treated.
 */
export class StallingSource implements AsyncIterable<Uint8Array> {
  /** Resolves when a chunk is asked for that never comes. */
  readonly stalled: Promise<void>;
  /** Resolves when it is told that nobody will ask any more. */
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
