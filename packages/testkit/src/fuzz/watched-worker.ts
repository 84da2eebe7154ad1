import { Worker } from 'node:worker_threads';
import { failureOf } from './failure.ts';
import type { Job, JobOutcome } from './worker-protocol.ts';
import { InputMirror } from './worker-protocol.ts';

/** An input that takes longer does not end, ms. */
const MAX_STUCK_MS = 60_000;
const LOOK_MS = 500;
/** Of JavaScript's own values, MiB. */
const MAX_HEAP_MIB = 768;

/** A worker thread that is replaced when a target takes it along. */
export class WatchedWorker implements AsyncDisposable {
  readonly #maxStuckMs: number;
  #memory = new SharedArrayBuffer(InputMirror.bytes);
  #worker: Worker | undefined;

  constructor(maxStuckMs: number = MAX_STUCK_MS) {
    this.#maxStuckMs = maxStuckMs;
  }

  /** Fuzzes one target. An input that does not end, or takes all memory, is a failure, and ends it. */
  async run(job: Job): Promise<JobOutcome> {
    const started = performance.now();
    const worker = (this.#worker ??= this.#start());
    const mirror = new InputMirror(this.#memory);
    const first = mirror.count;
    const { promise, resolve } = Promise.withResolvers<JobOutcome | Error>();
    const onMessage = (outcome: JobOutcome): void => resolve(outcome);
    const onEnd = (): void => resolve(new Error('the worker ended'));
    worker.once('message', onMessage).once('error', resolve).once('exit', onEnd);
    const timer = watchProgress(mirror, this.#maxStuckMs, () =>
      resolve(new Error(`an input does not end within ${this.#maxStuckMs / 1000} s`)),
    );
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread of ours, not a window
    worker.postMessage(job);
    try {
      const outcome = await promise;
      if (!(outcome instanceof Error)) return outcome;
      await this[Symbol.asyncDispose]();
      const inputs = mirror.count - first;
      return { name: job.name, inputs, ms: performance.now() - started, kept: [], failures: [failureOf(mirror.input, outcome)] };
    } finally {
      clearInterval(timer);
      worker.off('message', onMessage).off('error', resolve).off('exit', onEnd);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #start(): Worker {
    this.#memory = new SharedArrayBuffer(InputMirror.bytes);
    return new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: this.#memory,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MIB },
      // Some are opened by calls that Node does not know.
      trackUnmanagedFds: false,
    });
  }
}

function watchProgress(mirror: InputMirror, maxStuckMs: number, onStuck: () => void): NodeJS.Timeout {
  let last = mirror.count;
  let since = performance.now();
  return setInterval(() => {
    const { count } = mirror;
    if (count !== last || mirror.input.length === 0) {
      last = count;
      since = performance.now();
    } else if (performance.now() - since > maxStuckMs) onStuck();
  }, LOOK_MS);
}
