import { alterStore } from './alter.ts';
import { StoreError, isStoreError } from './errors.ts';
import type { Pause } from './pause.ts';
import { pause } from './pause.ts';
import type { ByteSource, CallOptions, ObjectInfo, ReadOptions, Store } from './store.ts';
import { RETRYABLE_CODES } from './store.ts';

export interface RetryOptions {
  /** How often a call is made at most, the first time included; 5 where absent. A body that goes on counts anew. */
  readonly attempts?: number | undefined;
  /** The longest wait before the second attempt, in ms; doubles with each further one. 200 where absent. */
  readonly baseMs?: number | undefined;
  /** No wait is longer than that, in ms; 10 000 where absent. */
  readonly maxMs?: number | undefined;
  /** Told of each failure that is tried again. */
  readonly onRetry?: ((error: StoreError, attempt: number) => void) | undefined;
  /** For tests: how to wait. */
  readonly pause?: Pause | undefined;
  /** For tests: a number from 0 to 1, by which the wait is shortened so that many clients do not come back at once. */
  readonly random?: (() => number) | undefined;
}

/**
 * Tries again what fails with `unavailable` and can be replayed: `stat`, `remove`, `clear`, `begin`, `list` (behind the last key it
 * gave) and `read` (from the byte it reached, where the store reads ranges). Never `append` or `commit`, whose source is used up:
 * there, `resume` helps. A `begin` whose answer was lost may leave an unfinished write, which `pending` names.
 */
export function withRetry(store: Store, options: RetryOptions = {}): Store {
  const again = new Again(options);
  return alterStore(store, {
    stat: (key, o) => again.run(() => store.stat(key, o), o),
    remove: (keys, o) => again.run(() => store.remove(keys, o), o),
    clear: (tokens, o) => again.run(() => store.clear(tokens, o), o),
    begin: (key, o) => again.run(() => store.begin(key, o), o),
    list: (prefix, o) => listOn(store, prefix, o, again),
    read: async (key, o = {}) => {
      const source = await again.run(() => store.read(key, o), o);
      return store.capabilities.rangedRead ? new ResumedBody(store, key, o, source, again) : source;
    },
  });
}

/** When to try again. */
class Again {
  readonly #attempts: number;
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #onRetry: RetryOptions['onRetry'];
  readonly #pause: Pause;
  readonly #random: () => number;

  constructor(options: RetryOptions) {
    this.#attempts = options.attempts ?? 5;
    this.#baseMs = options.baseMs ?? 200;
    this.#maxMs = options.maxMs ?? 10_000;
    this.#onRetry = options.onRetry;
    this.#pause = options.pause ?? pause;
    this.#random = options.random ?? Math.random;
  }

  async run<T>(call: () => Promise<T>, { signal }: CallOptions = {}): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call();
      } catch (error) {
        await this.afterFailure(error, attempt, signal);
      }
    }
  }

  /** Waits for the next attempt, or throws `error` where there is none. */
  async afterFailure(error: unknown, attempt: number, signal: AbortSignal | undefined): Promise<void> {
    if (!isStoreError(error) || !RETRYABLE_CODES.has(error.code) || attempt >= this.#attempts) throw error;
    this.#onRetry?.(error, attempt);
    const longest = Math.min(this.#maxMs, this.#baseMs * 2 ** (attempt - 1));
    await this.#pause(longest * (0.5 + this.#random() / 2), signal);
  }
}

async function* listOn(store: Store, prefix: string, options: CallOptions | undefined, again: Again): AsyncGenerator<ObjectInfo> {
  let last = '';
  for (let attempt = 1; ; attempt += 1) {
    try {
      for await (const info of store.list(prefix, options)) {
        if (info.key <= last) continue;
        last = info.key;
        attempt = 1;
        yield info;
      }
      return;
    } catch (error) {
      await again.afterFailure(error, attempt, options?.signal);
    }
  }
}

/** A body that is asked for once more, from the byte that it reached. */
class ResumedBody implements ByteSource {
  readonly length: number;
  readonly objectSize: number;
  readonly #store: Store;
  readonly #key: string;
  readonly #options: ReadOptions;
  readonly #again: Again;
  #source: ByteSource;

  constructor(store: Store, key: string, options: ReadOptions, source: ByteSource, again: Again) {
    this.length = source.length;
    this.objectSize = source.objectSize;
    this.#store = store;
    this.#key = key;
    this.#options = options;
    this.#again = again;
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let done = 0;
    for (let attempt = 1; ; attempt += 1) {
      try {
        if (attempt > 1) await this.#reopen(done);
        for await (const chunk of this.#source) {
          done += chunk.length;
          attempt = 1;
          yield chunk;
        }
        return;
      } catch (error) {
        // The failure of the body says more.
        await Promise.resolve(this.#source[Symbol.asyncDispose]()).catch(() => undefined);
        await this.#again.afterFailure(error, attempt, this.#options.signal);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }

  async #reopen(done: number): Promise<void> {
    const { offset = 0, signal } = this.#options;
    const source = await this.#store.read(this.#key, { offset: offset + done, length: this.length - done, signal });
    this.#source = source;
    if (source.objectSize === this.objectSize) return;
    throw new StoreError('integrity', {
      key: this.#key,
      message: `${this.#key} had ${this.objectSize} bytes and now has ${source.objectSize}: it was replaced while it was read`,
      hint: 'Read it again from the start.',
    });
  }
}
