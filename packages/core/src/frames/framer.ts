import type { BudgetShare } from './memory-budget.ts';
import type { PlainPiece } from './types.ts';
import { isZero } from './zeros.ts';

/** A frame with data, in memory that is lent. */
export interface DataFrame {
  readonly buffer: Uint8Array;
  /** Plain bytes, at the start of the buffer. */
  readonly plainBytes: number;
}

/** Frames of zeros, one after the other, all of one size. */
export interface ZeroFrames {
  readonly count: number;
  readonly plainBytes: number;
}

export type Frame = DataFrame | ZeroFrames;

/**
 * Cuts a plain stream into frames of `frameSize` bytes; the last may be shorter. Frames of zeros take no memory, whether they
 * come as holes or as zeros. A stream of no bytes has no frames.
 */
export class Framer {
  readonly #frameSize: number;
  readonly #bufferSize: number;
  readonly #memory: BudgetShare;
  readonly #signal: AbortSignal;
  /** Undefined as long as the frame has nothing but zeros. */
  #buffer: Uint8Array | undefined;
  #filled = 0;

  /** @param bufferSize bytes of each frame's buffer, `frameSize` or more where who comes next needs room behind the frame */
  constructor(frameSize: number, bufferSize: number, memory: BudgetShare, signal: AbortSignal) {
    this.#frameSize = frameSize;
    this.#bufferSize = bufferSize;
    this.#memory = memory;
    this.#signal = signal;
  }

  /** The frames, whose buffers then belong to the taker. */
  async *frames(pieces: AsyncIterable<PlainPiece>): AsyncGenerator<Frame, void, undefined> {
    try {
      for await (const piece of pieces) yield* piece instanceof Uint8Array ? this.#addBytes(piece) : this.#addZeros(piece.zeros);
      if (this.#filled > 0) yield this.#finish();
    } finally {
      if (this.#buffer !== undefined) this.#memory.giveBack(this.#buffer);
      this.#buffer = undefined;
    }
  }

  async *#addBytes(piece: Uint8Array): AsyncGenerator<Frame, void, undefined> {
    for (let start = 0; start < piece.length;) {
      const bytes = piece.subarray(start, start + this.#frameSize - this.#filled);
      if (this.#buffer !== undefined || !isZero(bytes)) (await this.#memoryOfFrame()).set(bytes, this.#filled);
      this.#filled += bytes.length;
      start += bytes.length;
      if (this.#filled === this.#frameSize) yield this.#finish();
    }
  }

  async *#addZeros(zeros: number): AsyncGenerator<Frame, void, undefined> {
    let left = zeros;
    if (this.#filled > 0) {
      const bytes = Math.min(left, this.#frameSize - this.#filled);
      this.#buffer?.fill(0, this.#filled, this.#filled + bytes);
      this.#filled += bytes;
      left -= bytes;
      if (this.#filled === this.#frameSize) yield this.#finish();
    }
    const count = Math.floor(left / this.#frameSize);
    if (count > 0) yield { count, plainBytes: this.#frameSize };
    this.#filled += left - count * this.#frameSize;
  }

  async #memoryOfFrame(): Promise<Uint8Array> {
    if (this.#buffer === undefined) {
      this.#buffer = await this.#memory.take(this.#bufferSize, this.#signal);
      this.#buffer.fill(0, 0, this.#filled);
    }
    return this.#buffer;
  }

  #finish(): Frame {
    const buffer = this.#buffer;
    const plainBytes = this.#filled;
    this.#buffer = undefined;
    this.#filled = 0;
    return buffer === undefined ? { count: 1, plainBytes } : { buffer, plainBytes };
  }
}
