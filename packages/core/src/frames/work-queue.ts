import { availableParallelism } from 'node:os';

/** Runs work that keeps a processor busy, no more than `limit` pieces of it at once, in the order in which it was asked for. */
export class WorkQueue {
  readonly limit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Rejects with what `work` throws; with the signal's reason, and without running it, when the signal comes before its turn. */
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

/** libuv's, unless the environment says another number. */
const USUAL_THREADS = 4;

let shared: WorkQueue | undefined;

/**
 * The one queue of all dumps of this process, so that several disks share the processors and none waits for another's last frame.
 * One more than there are processors, so that none is idle while the main thread has not yet begun the next frame. And less than libuv
 * has threads (`UV_THREADPOOL_SIZE`), since reading and writing files must not wait behind the frames.
 */
export function sharedWorkQueue(): WorkQueue {
  const said = Number(process.env['UV_THREADPOOL_SIZE'] ?? '');
  const threads = Number.isInteger(said) && said > 0 ? said : USUAL_THREADS;
  shared ??= new WorkQueue(Math.max(1, Math.min(availableParallelism() + 1, threads - 1)));
  return shared;
}
