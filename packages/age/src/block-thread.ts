import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BlockJob, BlockResult } from './block-job.ts';

/** The memory of a job, which has come back, and what is in it. */
export interface DoneJob {
  readonly memory: Uint8Array<ArrayBuffer>;
  readonly result: BlockResult;
}

/**
 * A thread that encrypts and decrypts blocks: on the main thread, that would take as long as all else. It starts with the first job, serves
 * all files of the process in the order of their jobs, and does not keep the process alive.
 */
class BlockThread {
  /** In the order in which the thread answers. */
  readonly #waiting: PromiseWithResolvers<DoneJob>[] = [];
  #thread: Worker | undefined;

  /** The memory moves to the thread and back: the given view must not be used afterwards. */
  run(job: BlockJob, memory: Uint8Array<ArrayBuffer>): Promise<DoneJob> {
    const waiting = Promise.withResolvers<DoneJob>();
    this.#thread ??= this.#start();
    this.#thread.ref();
    this.#waiting.push(waiting);
    this.#thread.postMessage({ job, memory: memory.buffer }, [memory.buffer]);
    return waiting.promise;
  }

  #start(): Worker {
    // Without the options of this process, of which a thread refuses some, such as --input-type.
    const thread = new Worker(new URL(`./age-thread${extname(import.meta.filename)}`, import.meta.url), { execArgv: [] });
    thread.on('message', ({ memory, result }: { readonly memory: ArrayBuffer; readonly result: BlockResult }) => {
      this.#waiting.shift()?.resolve({ memory: new Uint8Array(memory), result });
      if (this.#waiting.length === 0) thread.unref();
    });
    const fail = (cause?: unknown): void => {
      if (this.#thread !== thread) return;
      this.#thread = undefined;
      for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error('the thread for encryption ended', { cause }));
    };
    thread.on('error', fail);
    thread.on('exit', () => fail());
    return thread;
  }
}

let shared: BlockThread | undefined;

/** The thread of this process. */
export function sharedBlockThread(): BlockThread {
  return (shared ??= new BlockThread());
}
