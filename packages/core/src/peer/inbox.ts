import { WireProblem } from './wire.ts';

/** Maximum size of a chunk that is passed on. */
const MAX_CHUNK_BYTES = 1024 * 1024;

/** Less is passed on only at the end: a connection brings about ten KiB at a time, and waking the consumers for each costs too much. */
const MIN_CHUNK_BYTES = 256 * 1024;

/**
 * The stored bytes of one disk between the link and their reader, in a ring buffer of the size of the window: that is how much the other
 * side may send ahead, and what was read may be sent anew. A chunk belongs to its reader until the next is requested.
 */
export class Inbox implements AsyncIterable<Uint8Array> {
  readonly #window: number;
  readonly #minChunkBytes: number;
  readonly #onTaken: (bytes: number) => void;
  readonly #started = Promise.withResolvers<void>();
  #ring: Uint8Array | undefined;
  #readAt = 0;
  #filled = 0;
  #allowed: number;
  #ended = false;
  #isReaderWaiting = false;
  #changed = Promise.withResolvers<void>();

  /** @param onTaken called with the number of bytes that were consumed */
  constructor(window: number, onTaken: (bytes: number) => void) {
    this.#window = window;
    // Consumed bytes that were not reported yet (at most a quarter of the window) plus this must be less than the window: otherwise both
    // sides would wait.
    this.#minChunkBytes = Math.min(MIN_CHUNK_BYTES, Math.ceil(window / 4));
    this.#allowed = window;
    this.#onTaken = onTaken;
  }

  /** Resolves with the first bytes, or the end. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Whether the reader waits for more data. */
  get isStarved(): boolean {
    return !this.#ended && (this.#ring === undefined || this.#isReaderWaiting);
  }

  /** Copies the bytes. @throws WireProblem for more bytes than allowed, and for bytes after the end */
  push(bytes: Uint8Array): void {
    if (this.#ended) throw new WireProblem('it sent data after the end of a disk');
    if (bytes.length > this.#allowed) throw new WireProblem('it sent more data than it was allowed to');
    this.#allowed -= bytes.length;
    const ring = (this.#ring ??= Buffer.allocUnsafeSlow(this.#window));
    const at = (this.#readAt + this.#filled) % this.#window;
    const first = bytes.subarray(0, this.#window - at);
    ring.set(first, at);
    ring.set(bytes.subarray(first.length), 0);
    this.#filled += bytes.length;
    this.#started.resolve();
    if (this.#filled >= this.#minChunkBytes) this.#wake();
  }

  /** Marks the end of the data. @throws WireProblem if called twice */
  end(): void {
    if (this.#ended) throw new WireProblem('it ended a disk twice');
    this.#ended = true;
    this.#started.resolve();
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    let taken = 0;
    for (;;) {
      const ring = this.#ring;
      if (this.#ended && this.#filled === 0) return;
      if (ring === undefined || (this.#filled < this.#minChunkBytes && !this.#ended)) {
        this.#isReaderWaiting = true;
        await this.#changed.promise;
        this.#isReaderWaiting = false;
        continue;
      }
      const bytes = Math.min(this.#filled, MAX_CHUNK_BYTES, this.#window - this.#readAt);
      yield ring.subarray(this.#readAt, this.#readAt + bytes);
      this.#readAt = (this.#readAt + bytes) % this.#window;
      this.#filled -= bytes;
      taken += bytes;
      // Reported in few large steps, because each is a message.
      if (taken * 4 < this.#window) continue;
      this.#allowed += taken;
      this.#onTaken(taken);
      taken = 0;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
