import { orAbort } from '@gantry/transport';
import { pause } from '../system/pause.ts';

/**
 * `restore` makes a directory that is named after the date of the dump, to the second: two disks that were dumped in one second cannot
 * be restored side by side. The half second is for scripts that take a different time to get from their start to that date.
 */
const SPACING_MS = 1500;

/** Keeps the starts of an instance's export scripts apart. Nothing is kept apart but starts: the scripts run side by side. */
export class StartSpacing {
  #queue: Promise<void> = Promise.resolve();
  #lastMs = -Infinity;

  /** Resolves when the next script may start, in the order of asking; rejects with the signal's reason. */
  async turn(signal: AbortSignal): Promise<void> {
    const before = this.#queue;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#queue = promise;
    try {
      await orAbort(before, signal);
      await pause(Math.max(0, this.#lastMs + SPACING_MS - performance.now()), signal);
      this.#lastMs = performance.now();
    } finally {
      // One that gives up must not let the next one past those before it.
      void before.then(resolve);
    }
  }
}
