import { orAbort } from '@gantry/transport';
import { pause } from '../system/pause.ts';

/**
 * `restore` creates a directory named after the date of the dump, in seconds: two disks that were dumped in the same second cannot be
 * restored side by side. The extra half second allows for scripts that differ in the time from their start to that date.
 */
const SPACING_MS = 1500;

/** Spaces the starts of an instance's export scripts out. The scripts still run side by side. */
export class StartSpacing {
  #queue: Promise<void> = Promise.resolve();
  #lastMs = -Infinity;

  /** Resolves when the next script may start, in the order of the calls; rejects with the signal's reason. */
  async turn(signal: AbortSignal): Promise<void> {
    const before = this.#queue;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#queue = promise;
    try {
      await orAbort(before, signal);
      await pause(Math.max(0, this.#lastMs + SPACING_MS - performance.now()), signal);
      this.#lastMs = performance.now();
    } finally {
      // A cancelled call must not let the next one overtake those before it.
      void before.then(resolve);
    }
  }
}
