import { alterStore } from './alter.ts';
import { StoreError, isStoreError } from './errors.ts';
import type { Pause } from './pause.ts';
import { pause } from './pause.ts';
import type { ByteSource, CallOptions, ObjectInfo, ReadOptions, Store } from './store.ts';
import { RETRYABLE_CODES } from './store.ts';

export interface RetryOptions {
  /** Maximum number of attempts, including the first; 5 by default. The count restarts when a body has made progress. */
  readonly attempts?: number | undefined;
  /** Maximum wait before the second attempt, in ms; it doubles with each further one. 200 by default. */
  readonly baseMs?: number | undefined;
  /** Maximum wait in ms; 10 000 by default. */
  readonly maxMs?: number | undefined;
  /** Called for each failure that is retried. */
  readonly onRetry?: ((error: StoreError, attempt: number) => void) | undefined;
  /** How to wait, for tests. */
  readonly pause?: Pause | undefined;
  /** A number from 0 to 1, for tests. It shortens the wait, so that many clients do not return at the same time. */
  readonly random?: (() => number) | undefined;
}

/**
 * Retries calls that fail with `unavailable` and can be replayed: `stat`, `remove`, `clear`, `begin`, `list` (after the last key it
 * yielded) and `read` (from the byte it reached, if the store reads ranges). Never `append` or `commit`, whose source is used up: there,
 * `resume` helps. A `begin` whose response was lost may leave an unfinished write, which `pending` lists.
 */
export function withRetry(store: Store, options: RetryOptions = {}): Store {
  const retrier = new Retrier(options);
  return alterStore(store, {
    stat: (key, o) => retrier.run(() => store.stat(key, o), o),
    remove: (keys, o) => retrier.run(() => store.remove(keys, o), o),
    clear: (tokens, o) => retrier.run(() => store.clear(tokens, o), o),
    begin: (key, o) => retrier.run(() => store.begin(key, o), o),
    list: (prefix, o) => listWithRetry(store, prefix, o, retrier),
    read: async (key, o = {}) => {
      const source = await retrier.run(() => store.read(key, o), o);
      return store.capabilities.rangedRead ? new ResumedBody(store, key, o, source, retrier) : source;
    },
  });
}

/** Decides when to retry. */
class Retrier {
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

  /** Waits for the next attempt, or throws `error` if there is none. */
  async afterFailure(error: unknown, attempt: number, signal: AbortSignal | undefined): Promise<void> {
    if (!isStoreError(error) || !RETRYABLE_CODES.has(error.code) || attempt >= this.#attempts) throw error;
    this.#onRetry?.(error, attempt);
    const longest = Math.min(this.#maxMs, this.#baseMs * 2 ** (attempt - 1));
    await this.#pause(longest * (0.5 + this.#random() / 2), signal);
  }
}

async function* listWithRetry(
  store: Store,
  prefix: string,
  options: CallOptions | undefined,
  retrier: Retrier,
): AsyncGenerator<ObjectInfo> {
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
      await retrier.afterFailure(error, attempt, options?.signal);
    }
  }
}

/** A body that is opened again after a failure, from the byte that it reached. */
class ResumedBody implements ByteSource {
  readonly length: number;
  readonly objectSize: number;
  readonly #store: Store;
  readonly #key: string;
  readonly #options: ReadOptions;
  readonly #retrier: Retrier;
  #source: ByteSource;

  constructor(store: Store, key: string, options: ReadOptions, source: ByteSource, retrier: Retrier) {
    this.length = source.length;
    this.objectSize = source.objectSize;
    this.#store = store;
    this.#key = key;
    this.#options = options;
    this.#retrier = retrier;
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
        // The failure of the body is more useful than one of closing it.
        await Promise.resolve(this.#source[Symbol.asyncDispose]()).catch(() => undefined);
        await this.#retrier.afterFailure(error, attempt, this.#options.signal);
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
      message: `cannot continue reading ${this.#key}: it was replaced (it had ${this.objectSize} bytes and now has ${source.objectSize})`,
      hint: 'Read it again from the start.',
    });
  }
}
