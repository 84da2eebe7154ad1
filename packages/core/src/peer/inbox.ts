import { WireProblem } from './wire.ts';

/** The most bytes that are handed on at once. */
const LARGEST_CHUNK = 1024 * 1024;

/** Less is not handed on before the end: a connection brings some ten KiB at a time, and to wake all that follows costs as much for them. */
const SMALLEST_CHUNK = 256 * 1024;

/**
 * The stored bytes of one disk between the link and whoever reads them, in one ring of memory as large as the window: that is what the
 * other side may send ahead, and what was read may come again. A chunk belongs to its reader until the next is asked for.
 */
export class Inbox implements AsyncIterable<Uint8Array> {
  readonly #window: number;
  readonly #worthwhile: number;
  readonly #onTaken: (bytes: number) => void;
  readonly #started = Promise.withResolvers<void>();
  #ring: Uint8Array | undefined;
  #readAt = 0;
  #filled = 0;
  #allowed: number;
  #ended = false;
  #isReaderWaiting = false;
  #changed = Promise.withResolvers<void>();

  /** @param onTaken told how many bytes were read for good */
  constructor(window: number, onTaken: (bytes: number) => void) {
    this.#window = window;
    // What was read and not yet told, a quarter at most, and this: together less than the window, or both sides would wait.
    this.#worthwhile = Math.min(SMALLEST_CHUNK, Math.ceil(window / 4));
    this.#allowed = window;
    this.#onTaken = onTaken;
  }

  /** Resolves with the first bytes, or the end. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** Whether nothing can be done with the disk before more of it comes. */
  get isStarved(): boolean {
    return !this.#ended && (this.#ring === undefined || this.#isReaderWaiting);
  }

  /** Copies the bytes. @throws WireProblem where more comes than was allowed, or anything after the end */
  push(bytes: Uint8Array): void {
    if (this.#ended) throw new WireProblem('it sent data behind the end of a disk');
    if (bytes.length > this.#allowed) throw new WireProblem('it sent more data than it was allowed to');
    this.#allowed -= bytes.length;
    const ring = (this.#ring ??= Buffer.allocUnsafeSlow(this.#window));
    const at = (this.#readAt + this.#filled) % this.#window;
    const first = bytes.subarray(0, this.#window - at);
    ring.set(first, at);
    ring.set(bytes.subarray(first.length), 0);
    this.#filled += bytes.length;
    this.#started.resolve();
    if (this.#filled >= this.#worthwhile) this.#wake();
  }

  /** Nothing more comes. @throws WireProblem the second time */
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
      if (ring === undefined || (this.#filled < this.#worthwhile && !this.#ended)) {
        this.#isReaderWaiting = true;
        await this.#changed.promise;
        this.#isReaderWaiting = false;
        continue;
      }
      const bytes = Math.min(this.#filled, LARGEST_CHUNK, this.#window - this.#readAt);
      yield ring.subarray(this.#readAt, this.#readAt + bytes);
      this.#readAt = (this.#readAt + bytes) % this.#window;
      this.#filled -= bytes;
      taken += bytes;
      // In few large steps: each is a message.
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
