import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';

/** The returned memory of a part, and its MD5 in hexadecimal. */
interface Digested {
  readonly buffer: Buffer<ArrayBuffer>;
  readonly md5: string;
}

/**
 * Computes MD5 sums in a thread of its own: on the main thread they would take as long as the rest of
 * an upload. The thread starts with the first part.
 */
export class PartDigests implements AsyncDisposable {
  /** In the order in which the thread answers. */
  readonly #waiting: PromiseWithResolvers<Digested>[] = [];
  #thread: Worker | undefined;

  /** The MD5 of the first `length` bytes. The memory moves to the thread and back: the given buffer must not be used afterwards. */
  async digest(buffer: Buffer<ArrayBuffer>, length: number): Promise<Digested> {
    const waiting = Promise.withResolvers<Digested>();
    this.#thread ??= this.#start();
    this.#thread.ref();
    this.#waiting.push(waiting);
    this.#thread.postMessage({ memory: buffer.buffer, length }, [buffer.buffer]);
    return waiting.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.terminate();
  }

  #start(): Worker {
    const thread = new Worker(new URL(`./md5-thread${extname(import.meta.filename)}`, import.meta.url));
    thread.on('message', (message: unknown) => {
      this.#waiting.shift()?.resolve(readMessage(message));
      if (this.#waiting.length === 0) thread.unref();
    });
    const fail = (cause?: unknown): void => {
      for (const waiting of this.#waiting.splice(0)) waiting.reject(new Error('the thread for digests ended', { cause }));
      if (this.#thread === thread) this.#thread = undefined;
    };
    thread.on('error', fail);
    thread.on('exit', () => fail());
    return thread;
  }
}

function readMessage(message: unknown): Digested {
  if (typeof message === 'object' && message !== null && 'memory' in message && 'md5' in message) {
    const { memory, md5 } = message;
    if (memory instanceof ArrayBuffer && typeof md5 === 'string') return { buffer: Buffer.from(memory), md5 };
  }
  throw new TypeError('unexpected message from the thread for digests');
}
