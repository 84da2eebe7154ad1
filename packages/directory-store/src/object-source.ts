import type { ByteRange, ByteSource } from '@gantry/transport';
import { StoreError, orAbort } from '@gantry/transport';
import type { StoreContext } from './context.ts';
import type { ReadableFile } from './file-system.ts';

/** A range of an open object. Memory is reused: a chunk belongs to the consumer until it asks for the next one. */
export class ObjectSource implements ByteSource {
  readonly length: number;
  readonly objectSize: number;
  readonly #context: StoreContext;
  readonly #key: string;
  readonly #file: ReadableFile;
  readonly #offset: number;
  readonly #signal: AbortSignal | undefined;

  constructor(context: StoreContext, key: string, file: ReadableFile, range: ByteRange, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#key = key;
    this.#file = file;
    this.#offset = range.offset;
    this.length = range.length;
    this.objectSize = range.objectSize;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let done = 0;
    try {
      const chunks = this.#file.read(this.#offset, this.#offset + this.length);
      for (;;) {
        this.#signal?.throwIfAborted();
        const { value } = await orAbort(chunks.next(), this.#signal);
        if (value === undefined) break;
        done += value.length;
        yield value;
      }
      if (done < this.length) throw this.#shrunk(done);
    } catch (error) {
      const where = (): string => `from ${this.#context.shown} at byte ${this.#offset + done}`;
      throw await this.#context.explain(error, { doing: `reading ${this.#key}`, where, key: this.#key, signal: this.#signal });
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file[Symbol.asyncDispose]();
  }

  #shrunk(done: number): StoreError {
    return new StoreError('integrity', {
      key: this.#key,
      message: `cannot read ${this.#key} to its end: it has only ${this.#offset + done} of ${this.objectSize} bytes`,
      hint: 'Another program truncated it: find out which one, and take another export.',
    });
  }
}
