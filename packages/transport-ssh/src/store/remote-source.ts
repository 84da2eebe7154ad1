import type { ByteSource } from '@gantry/transport';
import { StoreError, orAbort } from '@gantry/transport';
import type { FileLanes } from '../sftp/file-lanes.ts';
import { readPieces } from '../sftp/file-reader.ts';
import { asStoreError } from './errors.ts';

/** A range of an open file of the peer. Memory is used again: a chunk belongs to the taker until the next one is asked for. */
export class RemoteSource implements ByteSource {
  readonly length: number;
  readonly objectSize: number;
  readonly #key: string;
  readonly #address: string;
  readonly #lanes: FileLanes;
  readonly #offset: number;
  readonly #signal: AbortSignal | undefined;

  constructor(
    about: { readonly key: string; readonly address: string },
    lanes: FileLanes,
    range: { readonly offset: number; readonly length: number; readonly objectSize: number },
    signal: AbortSignal | undefined,
  ) {
    this.#key = about.key;
    this.#address = about.address;
    this.#lanes = lanes;
    this.#offset = range.offset;
    this.length = range.length;
    this.objectSize = range.objectSize;
    this.#signal = signal;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    let done = 0;
    try {
      const pieces = readPieces(this.#lanes, this.#offset, this.#offset + this.length);
      for (;;) {
        this.#signal?.throwIfAborted();
        const { value } = await orAbort(pieces.next(), this.#signal);
        if (value === undefined) break;
        done += value.length;
        yield value;
      }
      if (done < this.length) throw this.#shrunk(done);
    } catch (error) {
      throw asStoreError(error, { doing: `reading ${this.#key} from ${this.#address} at byte ${this.#offset + done}`, key: this.#key });
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#lanes[Symbol.asyncDispose]();
  }

  #shrunk(done: number): StoreError {
    return new StoreError('integrity', {
      key: this.#key,
      message: `reading ${this.#key}: it ended after ${this.#offset + done} of ${this.objectSize} bytes`,
      hint: 'Somebody truncated it meanwhile.',
    });
  }
}
