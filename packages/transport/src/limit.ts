import { abortable } from './abortable.ts';
import { alterBody, alterPending, alterStore } from './alter.ts';
import type { Pause } from './pause.ts';
import { pause } from './pause.ts';
import type { PendingObject, Store } from './store.ts';

export interface LimitOptions {
  /** Bytes a second, of everything that is read and written together; more than 0. */
  readonly bytesPerSecond: number;
  /** For tests: how to wait. */
  readonly pause?: Pause | undefined;
  /** For tests: the time, in ms. */
  readonly now?: (() => number) | undefined;
}

/** Holds what goes into a store and comes out of it down to a rate, so that other traffic finds room. */
export function withLimit(store: Store, options: LimitOptions): Store {
  const limiter = new RateLimiter(options);
  const slow = (pending: PendingObject): PendingObject =>
    alterPending(pending, {
      append: (source, o) => pending.append(limiter.through(source, o?.signal), o),
    });
  return alterStore(store, {
    read: async (key, o) => alterBody(await store.read(key, o), (chunks) => limiter.through(chunks, o?.signal)),
    begin: async (key, o) => slow(await store.begin(key, o)),
    resume: async (token, o) => slow(await store.resume(token, o)),
  });
}

/** One rate for all who share it. */
export class RateLimiter {
  readonly #bytesPerMs: number;
  readonly #pause: Pause;
  readonly #now: () => number;
  /** When all that was let through so far has had its time. */
  #free = 0;

  constructor({ bytesPerSecond, pause: given, now }: LimitOptions) {
    if (!(bytesPerSecond > 0)) throw new RangeError(`a limit is more than 0 bytes a second, not ${bytesPerSecond}`);
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#pause = given ?? pause;
    this.#now = now ?? (() => performance.now());
  }

  async *through(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    for await (const chunk of abortable(chunks, signal)) {
      const now = this.#now();
      const start = Math.max(now, this.#free);
      this.#free = start + chunk.length / this.#bytesPerMs;
      if (start > now) await this.#pause(start - now, signal);
      yield chunk;
    }
  }
}
