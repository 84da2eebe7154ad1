import { orAbort } from '@gantry/transport';

/** Something that several wait for, again and again. */
export class Occurrence {
  #next = Promise.withResolvers<void>();

  /** Resolves when it happens the next time. */
  next(): Promise<void> {
    return this.#next.promise;
  }

  happen(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }
}

/** What waits for one consumer, in all of its streams. */
export class Backlog {
  readonly #maxBytes: number;
  readonly #changed: Occurrence;
  #bytes = 0;

  /** @param changed happens when some of it was taken */
  constructor(maxBytes: number, changed: Occurrence) {
    this.#maxBytes = maxBytes;
    this.#changed = changed;
  }

  /** Whether its consumer waits for more. */
  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** Whether that many bytes more may wait. */
  fits(bytes: number): boolean {
    return this.isEmpty || this.#bytes + bytes <= this.#maxBytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  take(bytes: number): void {
    this.#bytes -= bytes;
    this.#changed.happen();
  }
}

/** A stream of chunks for one consumer, which can be iterated once. Its chunks are in the backlog until the next one is asked for. */
export class QueuedStream implements AsyncIterable<Uint8Array> {
  readonly #backlog: Backlog;
  readonly #queue: Uint8Array[] = [];
  readonly #changed = new Occurrence();
  #end: { readonly error?: unknown } | undefined;
  #isClosed = false;

  constructor(backlog: Backlog) {
    this.#backlog = backlog;
  }

  /** A chunk must not change any more. */
  push(chunk: Uint8Array): void {
    if (this.#isClosed) return;
    this.#backlog.add(chunk.length);
    this.#queue.push(chunk);
    this.#changed.happen();
  }

  end(): void {
    this.#end ??= {};
    this.#changed.happen();
  }

  /** Ends it with an error, after the chunks that are in it. */
  fail(error: unknown): void {
    this.#end ??= { error };
    this.#changed.happen();
  }

  /** Its consumer is gone. */
  close(): void {
    this.#isClosed = true;
    for (const chunk of this.#queue.splice(0)) this.#backlog.take(chunk.length);
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const chunk = this.#queue.shift();
        if (chunk !== undefined) yield* this.#hold(chunk);
        else if (this.#end === undefined) await this.#changed.next();
        else if ('error' in this.#end) throw this.#end.error;
        else return;
      }
    } finally {
      this.close();
    }
  }

  *#hold(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    try {
      yield chunk;
    } finally {
      this.#backlog.take(chunk.length);
    }
  }
}

/** One that gets a stream of a fan-out. */
export interface Consumer {
  /** Whether it still takes its streams. */
  readonly isLive: boolean;
  readonly backlog: Backlog;
  /** It held others that had nothing left to do: it gets no more. */
  readonly leaveBehind: () => void;
}

export interface FanOutOptions {
  readonly streams: readonly (readonly [Consumer, QueuedStream])[];
  /** Happens when a backlog gets smaller, or a consumer is gone. */
  readonly changed: Occurrence;
  readonly signal: AbortSignal;
}

/**
 * Reads a source once, and gives its chunks to several consumers. It is read as fast as the fastest of them takes it; the others may fall
 * behind by their backlogs. One whose backlog is full while another has nothing left to do is left behind.
 *
 * @returns false if no consumer was left before the end of the source; otherwise the streams are to be ended
 * @throws the errors of `source`; the signal's reason
 */
export async function fanOut(source: AsyncIterable<Uint8Array>, { streams, changed, signal }: FanOutOptions): Promise<boolean> {
  for await (const chunk of source) {
    const ready = await whenReady(chunk.length);
    if (ready.length === 0) return false;
    // The source uses its memory again, and the consumers come to this chunk at different times.
    const kept = Buffer.from(chunk);
    for (const [, stream] of ready) stream.push(kept);
  }
  return streams.some(([{ isLive }]) => isLive);

  async function whenReady(bytes: number): Promise<FanOutOptions['streams']> {
    for (;;) {
      signal.throwIfAborted();
      const live = streams.filter(([{ isLive }]) => isLive);
      const full = live.filter(([{ backlog }]) => !backlog.fits(bytes));
      if (full.length === 0) return live;
      if (live.some(([{ backlog }]) => backlog.isEmpty)) {
        for (const [consumer] of full) consumer.leaveBehind();
        continue;
      }
      await orAbort(changed.next(), signal);
    }
  }
}
