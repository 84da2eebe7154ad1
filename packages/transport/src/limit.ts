import { abortable } from './abortable.ts';
import { alterBody, alterPending, alterRangeCopy, alterStore } from './alter.ts';
import type { Pause } from './pause.ts';
import { pause } from './pause.ts';
import type { PendingObject, Store } from './store.ts';

export interface LimitOptions {
  /** Bytes per second, for reading and writing together; more than 0. */
  readonly bytesPerSecond: number;
  /** How to wait, for tests. */
  readonly pause?: Pause | undefined;
  /** The time in ms, for tests. */
  readonly now?: (() => number) | undefined;
}

/** Limits the rate at which a store is read and written, to leave bandwidth for other traffic. */
export function withLimit(store: Store, options: LimitOptions): Store {
  const limiter = new RateLimiter(options);
  const slow = (pending: PendingObject): PendingObject =>
    alterPending(pending, {
      append: (source, o) => pending.append(limiter.through(source, o?.signal), o),
      // What was copied within the store used no bandwidth here.
      ...alterRangeCopy(pending, async (copy, _range, o) => {
        const moved = await copy();
        await limiter.passed(moved, o?.signal);
        return moved;
      }),
    });
  return alterStore(store, {
    read: async (key, o) => alterBody(await store.read(key, o), (chunks) => limiter.through(chunks, o?.signal)),
    begin: async (key, o) => slow(await store.begin(key, o)),
    resume: async (token, o) => slow(await store.resume(token, o)),
  });
}

/** A rate that several streams share. */
export class RateLimiter {
  readonly #bytesPerMs: number;
  readonly #pause: Pause;
  readonly #now: () => number;
  /** When the bytes passed so far have used up their time. */
  #free = 0;

  constructor({ bytesPerSecond, pause: given, now }: LimitOptions) {
    if (!(bytesPerSecond > 0)) throw new RangeError(`a rate limit must be more than 0 bytes per second, not ${bytesPerSecond}`);
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#pause = given ?? pause;
    this.#now = now ?? (() => performance.now());
  }

  async *through(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    for await (const chunk of abortable(chunks, signal)) {
      await this.passed(chunk.length, signal);
      yield chunk;
    }
  }

  /** Waits until these bytes may pass. */
  async passed(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const now = this.#now();
    const start = Math.max(now, this.#free);
    this.#free = start + bytes / this.#bytesPerMs;
    if (start > now) await this.#pause(start - now, signal);
  }
}
