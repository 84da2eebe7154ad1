import type { ByteSource } from '@gantry/transport';
import { StoreError } from '@gantry/transport';

import { ignore, untilAborted } from '../requests/abort.ts';
import type { ByteRange, OpenedRange, ReadTarget } from './ranged-read.ts';
import { fetchRange } from './ranged-read.ts';
import type { S3Context } from '../s3-context.ts';

/** How many bytes one request reads. */
export const RANGE_BYTES: number = 8 * 1024 * 1024;

/** What is to be read. */
export interface SourceOptions {
  readonly target: ReadTarget;
  readonly range: ByteRange;
  readonly objectSize: number;
  /** The answer to the first range; the source takes over its body. */
  readonly first: OpenedRange | undefined;
  readonly signal: AbortSignal | undefined;
}

/** A range that is being read into memory. */
interface Fetch {
  readonly done: Promise<void>;
  readonly bytes: Uint8Array;
  /** Frees its memory. Only after `done` is settled. */
  readonly release: () => void;
}

/**
 * Reads ahead: while the consumer processes one range, the next ones are fetched in parallel, as many as the store's memory allows. Every
 * reader always has one in flight, so that none can block another.
 */
export class S3ByteSource implements ByteSource {
  readonly length: number;
  readonly objectSize: number;
  readonly #context: S3Context;
  readonly #options: SourceOptions;
  readonly #ended = new AbortController();
  readonly #fetches: Fetch[] = [];
  #first: OpenedRange | undefined;
  #next: number;
  #taken = false;

  constructor(context: S3Context, options: SourceOptions) {
    this.#context = context;
    this.#options = options;
    this.objectSize = options.objectSize;
    this.length = options.range.to - options.range.from;
    this.#first = options.first;
    this.#next = options.range.from;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#taken) {
      throw new StoreError('unsupported', {
        key: this.#options.target.key,
        message: 'cannot read this source of bytes again: it can be read once',
        hint: 'Call read again.',
      });
    }
    this.#taken = true;
    const { signal } = this.#options;
    try {
      for (;;) {
        signal?.throwIfAborted();
        this.#ended.signal.throwIfAborted();
        this.#readAhead();
        const fetch = this.#fetches[0];
        if (fetch === undefined) return;
        await untilAborted(fetch.done, signal, this.#ended.signal);
        yield fetch.bytes;
        this.#fetches.shift();
        fetch.release();
      }
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { target } = this.#options;
    this.#ended.abort(
      new StoreError('unsupported', {
        key: target.key,
        message: 'cannot read this source of bytes: it was closed',
        hint: 'Call read again.',
      }),
    );
    this.#first?.body.destroy();
    this.#first = undefined;
    const open = this.#fetches.splice(0);
    await Promise.allSettled(open.map((fetch) => fetch.done));
    for (const fetch of open) fetch.release();
  }

  #readAhead(): void {
    const { to } = this.#options.range;
    while (this.#next < to) {
      const range = { from: this.#next, to: Math.min(this.#next + RANGE_BYTES, to) };
      const limit = this.#context.downloads;
      const memory = bufferBytes(range);
      const leave = this.#fetches.length === 0 ? limit.force(memory) : limit.tryEnter(memory);
      if (leave === undefined) return;
      this.#fetches.push(this.#start(range, leave));
      this.#next = range.to;
    }
  }

  #start(range: ByteRange, leave: () => void): Fetch {
    const { buffers } = this.#context;
    const buffer = buffers.take(bufferBytes(range));
    const bytes = buffer.subarray(0, range.to - range.from);
    const opened = this.#first;
    this.#first = undefined;
    const signal = this.#options.signal === undefined ? this.#ended.signal : AbortSignal.any([this.#options.signal, this.#ended.signal]);
    const done = fetchRange(this.#options.target, range, bytes, { signal, opened });
    done.catch(ignore);
    return {
      done,
      bytes,
      release: () => {
        buffers.give(buffer);
        leave();
      },
    };
  }
}

const MIN_BUFFER_BYTES = 64 * 1024;

/** One of a few sizes, so that buffers can be used again: a reader of frames opens many small ranges. */
function bufferBytes({ from, to }: ByteRange): number {
  return Math.max(MIN_BUFFER_BYTES, 2 ** Math.ceil(Math.log2(to - from)));
}
