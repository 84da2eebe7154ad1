import { setTimeout as delay } from 'node:timers/promises';

/** How long, and how patiently, something that failed is tried again. Times in milliseconds. */
export interface RetryPolicy {
  /** No attempt starts later than this after the first, but for the first `leastAttempts`. */
  readonly retryForMs: number;
  readonly leastAttempts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

/** What the retry loop asks of its context; tests hand in their own. */
export interface RetryClock {
  readonly now: () => number;
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

export interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly signal?: AbortSignal | undefined;
  /** For a failure that took its time, such as a time-out: after how many milliseconds in all the attempts end, however few they were. */
  readonly slowLimitMs?: (error: unknown) => number | undefined;
  /** Whether a failure may pass by itself. */
  readonly mayPass: (error: unknown) => boolean;
  readonly clock?: RetryClock;
}

const REAL_CLOCK: RetryClock = {
  now: () => performance.now(),
  random: Math.random,
  sleep: async (ms, signal) => {
    await delay(ms, undefined, { signal });
  },
};

/**
 * Calls `attempt` (with 1, 2, …) until it succeeds, fails for good, or has failed for too long; then rejects with its last error.
 * Waits longer each time, and a random share of that ("full jitter"), so that many clients do not come back at once.
 *
 * @throws the reason of the signal, at once
 */
export async function retry<T>(attempt: (number: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { policy, signal, mayPass, clock = REAL_CLOCK } = options;
  const start = clock.now();
  for (let number = 1; ; number++) {
    signal?.throwIfAborted();
    try {
      return await attempt(number);
    } catch (error) {
      signal?.throwIfAborted();
      if (!mayPass(error)) throw error;
      const wait = clock.random() * Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (number - 1));
      const elapsed = clock.now() + wait - start;
      if (number >= policy.leastAttempts && elapsed > policy.retryForMs) throw error;
      if (elapsed > (options.slowLimitMs?.(error) ?? Infinity)) throw error;
      await sleepOrAbort(clock, wait, signal);
    }
  }
}

async function sleepOrAbort(clock: RetryClock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
