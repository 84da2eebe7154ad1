import type { JobLogEntry, JobQueue } from '../jobs/job.ts';
import { JobError, waitForJob } from '../jobs/wait-for-job.ts';
import { orAbort } from './or-abort.ts';

/** A job that is looked at all the while. */
export class JobWatch {
  readonly #queue: JobQueue;
  readonly #id: string;
  readonly #results: Promise<readonly unknown[]>;
  readonly #stop = new AbortController();

  /** @param what the job does, such as `to make web1` */
  constructor(queue: JobQueue, id: string, what: string, onLog: (entry: JobLogEntry) => void) {
    this.#queue = queue;
    this.#id = id;
    this.#results = waitForJob(queue, id, { what, onLog, signal: this.#stop.signal });
    this.#results.catch(() => {});
  }

  /** The results of its operations. @throws InventoryError where it failed; the reason of the signal */
  async results(signal?: AbortSignal): Promise<readonly unknown[]> {
    return await orAbort(this.#results, signal);
  }

  /**
   * Cancels it if it does not run yet, waits until it has ended, and looks at it no more.
   * @param timeoutMs ms
   * @returns whether it is known to have ended
   */
  async end(timeoutMs: number): Promise<boolean> {
    const limit = AbortSignal.timeout(timeoutMs);
    await this.#queue.cancelJob(this.#id, { signal: limit }).catch(() => {});
    const hasEnded = await orAbort(this.#results, limit).then(
      () => true,
      // Where the cluster does not answer, the job may go on.
      (error: unknown) => error instanceof JobError,
    );
    this.#stop.abort();
    return hasEnded;
  }
}
