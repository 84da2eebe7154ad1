import { orAbort } from '@gantry/transport';
import type { BudgetShare } from './memory-budget.ts';
import type { ChangesReader, PlainReader } from './plain-reader.ts';
import type { Hole, Unchanged } from './types.ts';
import { isZero } from './zeros.ts';

/** A frame with data, in memory of the budget. */
export interface DataFrame {
  readonly buffer: Uint8Array;
  /** Plain bytes, at the start of the buffer. */
  readonly plainBytes: number;
}

/** Consecutive frames of zeros, all of the same size. */
export interface ZeroFrames {
  readonly count: number;
  /** Of each frame. */
  readonly plainBytes: number;
}

export type PlainFrame = DataFrame | ZeroFrames;

/** Reads a plain stream straight into frames of `frameSize` bytes; the last may be shorter. A stream of no bytes has no frames. */
export class Framer {
  readonly #frameSize: number;
  readonly #bufferSize: number;
  readonly #memory: BudgetShare;
  readonly #signal: AbortSignal;
  #buffer: Uint8Array | undefined;
  #filled = 0;

  /** @param bufferSize bytes of each frame's buffer: `frameSize`, or more if the next stage needs space after the frame */
  constructor(frameSize: number, bufferSize: number, memory: BudgetShare, signal: AbortSignal) {
    this.#frameSize = frameSize;
    this.#bufferSize = bufferSize;
    this.#memory = memory;
    this.#signal = signal;
  }

  /** The frames. The caller releases their buffers. */
  frames(source: PlainReader): AsyncGenerator<PlainFrame, void, undefined>;
  /** The frames, and what has not changed. @throws RangeError for something unchanged within a frame */
  frames(source: ChangesReader): AsyncGenerator<PlainFrame | Unchanged, void, undefined>;
  async *frames(source: ChangesReader): AsyncGenerator<PlainFrame | Unchanged, void, undefined> {
    try {
      for (;;) {
        const buffer = await this.#currentBuffer();
        const piece = await this.#read(source, buffer.subarray(this.#filled, this.#frameSize));
        if (piece === undefined) break;
        if (typeof piece === 'number') this.#filled += piece;
        else if ('zeros' in piece) yield* this.#addZeros(piece.zeros);
        else yield this.#assertAtStart(piece);
        if (this.#filled === this.#frameSize) yield this.#finish();
      }
      if (this.#filled > 0) yield this.#finish();
    } finally {
      if (this.#buffer !== undefined) this.#memory.release(this.#buffer);
      this.#buffer = undefined;
    }
  }

  async #currentBuffer(): Promise<Uint8Array> {
    return (this.#buffer ??= await this.#memory.acquire(this.#bufferSize, this.#signal));
  }

  #assertAtStart(piece: Unchanged): Unchanged {
    if (this.#filled > 0) throw new RangeError(`something unchanged begins at byte ${this.#filled} of a frame`);
    return piece;
  }

  async #read(source: ChangesReader, output: Uint8Array): Promise<number | Hole | Unchanged | undefined> {
    try {
      return await orAbort(source.read(output), this.#signal);
    } catch (error) {
      // The unfinished read may still write to the buffer.
      if (this.#buffer !== undefined) this.#memory.discard(this.#buffer);
      this.#buffer = undefined;
      throw error;
    }
  }

  async *#addZeros(zeros: number): AsyncGenerator<PlainFrame, void, undefined> {
    let left = zeros;
    if (this.#filled > 0) {
      left -= await this.#fillZeros(Math.min(left, this.#frameSize - this.#filled));
      if (this.#filled < this.#frameSize) return;
      yield this.#finish();
    }
    const count = Math.floor(left / this.#frameSize);
    if (count > 0) yield { count, plainBytes: this.#frameSize };
    await this.#fillZeros(left - count * this.#frameSize);
  }

  async #fillZeros(bytes: number): Promise<number> {
    if (bytes > 0) (await this.#currentBuffer()).fill(0, this.#filled, this.#filled + bytes);
    this.#filled += bytes;
    return bytes;
  }

  #finish(): PlainFrame {
    const buffer = this.#buffer;
    const plainBytes = this.#filled;
    this.#filled = 0;
    // A frame of zeros needs no memory: the next frame reuses its buffer.
    if (buffer === undefined || isZero(buffer.subarray(0, plainBytes))) return { count: 1, plainBytes };
    this.#buffer = undefined;
    return { buffer, plainBytes };
  }
}
