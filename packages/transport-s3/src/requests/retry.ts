import { setTimeout as delay } from 'node:timers/promises';

/** How long and how often a failed attempt is repeated. Times in milliseconds. */
export interface RetryPolicy {
  /** No attempt starts later than this after the first, except for the first `minAttempts`. */
  readonly retryForMs: number;
  readonly minAttempts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

/** The clock of the retry loop; tests pass their own. */
export interface RetryClock {
  readonly now: () => number;
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
}

export interface RetryOptions {
  readonly policy: RetryPolicy;
  readonly signal?: AbortSignal | undefined;
  /** For a slow failure, such as a time-out: after how many milliseconds in total the attempts end, even if there were only a few. */
  readonly slowLimitMs?: (error: unknown) => number | undefined;
  /** Whether a failure may go away by itself. */
  readonly isTransient: (error: unknown) => boolean;
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
 * Calls `attempt` (with 1, 2, …) until it succeeds, fails permanently or has failed for too long; then rejects with its last error.
 * Waits longer each time, and a random part of that ("full jitter"), so that many clients do not come back at the same moment.
 *
 * @throws the reason of the signal, at once
 */
export async function retry<T>(attempt: (number: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { policy, signal, isTransient, clock = REAL_CLOCK } = options;
  const start = clock.now();
  for (let number = 1; ; number++) {
    signal?.throwIfAborted();
    try {
      return await attempt(number);
    } catch (error) {
      signal?.throwIfAborted();
      if (!isTransient(error)) throw error;
      const wait = clock.random() * Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (number - 1));
      const elapsed = clock.now() + wait - start;
      if (number >= policy.minAttempts && elapsed > policy.retryForMs) throw error;
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
