import { setTimeout as wait } from 'node:timers/promises';

/** Waits for some ms, or rejects with `signal.reason`. */
export type Pause = (ms: number, signal: AbortSignal | undefined) => Promise<void>;

export const pause: Pause = async (ms, signal) => {
  signal?.throwIfAborted();
  try {
    await wait(ms, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
};
