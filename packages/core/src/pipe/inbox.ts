import { WireProblem } from './wire.ts';

/**
 * The stored bytes of one disk between the link and whoever reads them. Holds no more than the window: that is what the other side may
 * send ahead, and each chunk that was read allows it as much again.
 */
export class Inbox implements AsyncIterable<Uint8Array> {
  readonly #window: number;
  readonly #onTaken: (bytes: number) => void;
  readonly #chunks: Uint8Array[] = [];
  #allowed: number;
  #ended = false;
  #changed = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<void>();

  /** @param onTaken told how many bytes were read for good */
  constructor(window: number, onTaken: (bytes: number) => void) {
    this.#window = window;
    this.#allowed = window;
    this.#onTaken = onTaken;
  }

  /** Resolves with the first bytes, or the end. */
  get started(): Promise<void> {
    return this.#started.promise;
  }

  /** @throws WireProblem where more comes than was allowed, or anything after the end */
  push(bytes: Uint8Array): void {
    if (this.#ended) throw new WireProblem('it sent data behind the end of a disk');
    this.#allowed -= bytes.length;
    if (this.#allowed < 0) throw new WireProblem('it sent more data than it was allowed to');
    this.#chunks.push(bytes);
    this.#change();
  }

  /** Nothing more comes. @throws WireProblem the second time */
  end(): void {
    if (this.#ended) throw new WireProblem('it ended a disk twice');
    this.#ended = true;
    this.#change();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    let taken = 0;
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk === undefined) {
        if (this.#ended) return;
        await this.#changed.promise;
        continue;
      }
      yield chunk;
      taken += chunk.length;
      // In few large steps: each is a message.
      if (taken * 4 < this.#window) continue;
      this.#allowed += taken;
      this.#onTaken(taken);
      taken = 0;
    }
  }

  #change(): void {
    this.#started.resolve();
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
