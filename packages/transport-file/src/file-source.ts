import type { FileHandle } from 'node:fs/promises';
import type { ByteSource } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { asStoreError } from './system-error.ts';

const READ_BYTES = 1024 * 1024;

/** A range of an open file. Every chunk is in the same memory: it belongs to the taker until the next one is asked for. */
export class FileSource implements ByteSource {
  readonly length: number;
  readonly objectSize: number;
  readonly #key: string;
  readonly #file: FileHandle;
  readonly #offset: number;
  readonly #signal: AbortSignal | undefined;
  #closed = false;

  constructor(
    key: string,
    file: FileHandle,
    range: { offset: number; length: number; objectSize: number },
    signal: AbortSignal | undefined,
  ) {
    this.#key = key;
    this.#file = file;
    this.#offset = range.offset;
    this.length = range.length;
    this.objectSize = range.objectSize;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, this.length));
    try {
      for (let done = 0; done < this.length;) {
        this.#signal?.throwIfAborted();
        const { bytesRead } = await this.#file.read(buffer, 0, Math.min(buffer.length, this.length - done), this.#offset + done);
        if (bytesRead === 0) throw this.#shrunk(done);
        done += bytesRead;
        this.#signal?.throwIfAborted();
        yield buffer.subarray(0, bytesRead);
      }
      this.#signal?.throwIfAborted();
    } catch (error) {
      throw asStoreError(error, `reading ${this.#key}`, this.#key, this.#signal);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#file.close();
  }

  #shrunk(done: number): StoreError {
    return new StoreError('integrity', {
      key: this.#key,
      message: `reading ${this.#key}: it ended after ${this.#offset + done} of ${this.objectSize} bytes`,
      hint: 'Somebody truncated it meanwhile.',
    });
  }
}
