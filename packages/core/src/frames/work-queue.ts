import { availableParallelism } from 'node:os';

/** Frames that wait for a processor or for their turn to be yielded, so that neither side waits for the other. */
export const FRAMES_AHEAD = 2;

/** Runs work that keeps a processor busy: at most `limit` pieces at once, in the order of the calls. */
export class WorkQueue {
  readonly limit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Rejects with the error of `work`, or with the signal's reason if it aborts before the turn of `work`, which then does not run. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.limit) this.#running += 1;
    else await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

/** libuv's default, unless the environment sets another number. */
const DEFAULT_THREADS = 4;

let shared: WorkQueue | undefined;

/**
 * The queue of all dumps of this process, so that several disks share the processors and no disk waits for the last frame of another.
 * Its limit is one more than the number of processors, so that none is idle until the main thread starts the next frame, and less than
 * libuv's number of threads (`UV_THREADPOOL_SIZE`), because reading and writing files must not wait for the frames.
 */
export function sharedWorkQueue(): WorkQueue {
  const configured = Number(process.env['UV_THREADPOOL_SIZE'] ?? '');
  const threads = Number.isInteger(configured) && configured > 0 ? configured : DEFAULT_THREADS;
  shared ??= new WorkQueue(Math.max(1, Math.min(availableParallelism() + 1, threads - 1)));
  return shared;
}
