import { abortable } from './abortable.ts';
import { alterBody, alterPending, alterRangeCopy, alterStore } from './alter.ts';
import type { Pause } from './pause.ts';
import { pause } from './pause.ts';
import type { PendingObject, Store } from './store.ts';

/** Bytes per second, more than 0; as a function where it changes with the time, which then may be `Infinity` (no limit). */
export type Rate = number | (() => number);

export interface LimitOptions {
  /** For reading and writing together. */
  readonly bytesPerSecond: Rate;
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

/** How soon a wait notices that the rate has changed; ms. */
const MAX_WAIT_MS = 1000;

/** A rate that several streams share. */
export class RateLimiter {
  readonly #rate: () => number;
  readonly #pause: Pause;
  readonly #now: () => number;
  /** Bytes that were asked for so far, and how many of them have had their time. */
  #asked = 0;
  #paid = 0;
  #bytesPerMs: number;
  /** When the rate applied until which `#paid` counts; ms. */
  #since: number;

  constructor({ bytesPerSecond, pause: given, now }: LimitOptions) {
    this.#rate = typeof bytesPerSecond === 'number' ? () => bytesPerSecond : bytesPerSecond;
    this.#pause = given ?? pause;
    this.#now = now ?? (() => performance.now());
    this.#since = this.#now();
    this.#bytesPerMs = this.#currentRate();
  }

  async *through(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    for await (const chunk of abortable(chunks, signal)) {
      await this.passed(chunk.length, signal);
      yield chunk;
    }
  }

  /** Waits until these bytes may pass. */
  async passed(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    this.#pay();
    const before = this.#asked;
    this.#asked += bytes;
    for (;;) {
      const missing = before - this.#paid;
      // Calculating with fractions leaves something.
      if (missing < 0.001) return;
      await this.#pause(Math.min(missing / this.#bytesPerMs, MAX_WAIT_MS), signal);
      this.#pay();
    }
  }

  /** Time that nobody used is not accumulated. */
  #pay(): void {
    const now = this.#now();
    const paid = this.#bytesPerMs === Infinity ? this.#asked : this.#paid + (now - this.#since) * this.#bytesPerMs;
    this.#paid = Math.min(this.#asked, paid);
    this.#since = now;
    this.#bytesPerMs = this.#currentRate();
  }

  #currentRate(): number {
    const bytesPerSecond = this.#rate();
    if (!(bytesPerSecond > 0)) throw new RangeError(`a rate limit must be more than 0 bytes per second, not ${bytesPerSecond}`);
    return bytesPerSecond / 1000;
  }
}
