import { setTimeout as sleep } from 'node:timers/promises';
import type { JobLogEntry, JobQueue } from '../jobs/job.ts';
import { waitForJob } from '../jobs/wait-for-job.ts';
import { orAbort } from './or-abort.ts';

/** A job that is looked at all the while. */
export class JobWatch {
  readonly #queue: JobQueue;
  readonly #id: string;
  readonly #results: Promise<readonly unknown[]>;

  /** @param what the job does, such as `to make web1` */
  constructor(queue: JobQueue, id: string, what: string, onLog: (entry: JobLogEntry) => void) {
    this.#queue = queue;
    this.#id = id;
    this.#results = waitForJob(queue, id, { what, onLog });
    this.#results.catch(() => {});
  }

  /** The results of its operations. @throws InventoryError where it failed; the reason of the signal */
  async results(signal?: AbortSignal): Promise<readonly unknown[]> {
    return await orAbort(this.#results, signal);
  }

  /** Cancels it if it does not run yet, and waits until it has ended. @returns whether it has ended in time. @param timeoutMs ms */
  async end(timeoutMs: number): Promise<boolean> {
    await this.#queue.cancelJob(this.#id, { signal: AbortSignal.timeout(timeoutMs) }).catch(() => {});
    const ended = this.#results.then(
      () => true,
      () => true,
    );
    const stop = new AbortController();
    const late = sleep(timeoutMs, false, { signal: stop.signal }).catch(() => false);
    const result = await Promise.race([ended, late]);
    stop.abort();
    return result;
  }
}
