import { FrameBuffer } from './frame-buffer.ts';
import type { BudgetShare } from './memory-budget.ts';
import type { ChangesReader, PlainReader } from './plain-reader.ts';
import type { Unchanged } from './types.ts';

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
  readonly #frame: FrameBuffer;

  /** @param bufferSize bytes of each frame's buffer: `frameSize`, or more if the next stage needs space after the frame */
  constructor(frameSize: number, bufferSize: number, memory: BudgetShare, signal: AbortSignal) {
    this.#frameSize = frameSize;
    this.#frame = new FrameBuffer(bufferSize, memory, signal);
  }

  /** The frames. The caller releases their buffers. */
  frames(source: PlainReader): AsyncGenerator<PlainFrame, void, undefined>;
  /** The frames, and what has not changed. @throws RangeError for something unchanged within a frame */
  frames(source: ChangesReader): AsyncGenerator<PlainFrame | Unchanged, void, undefined>;
  async *frames(source: ChangesReader): AsyncGenerator<PlainFrame | Unchanged, void, undefined> {
    const frame = this.#frame;
    try {
      for (;;) {
        const piece = await frame.read(source, this.#frameSize);
        if (piece === undefined) break;
        if (typeof piece === 'number') frame.filled += piece;
        else if ('zeros' in piece) yield* this.#addZeros(piece.zeros);
        else yield this.#assertAtStart(piece);
        if (frame.filled === this.#frameSize) yield frame.finish();
      }
      if (frame.filled > 0) yield frame.finish();
    } finally {
      frame.release();
    }
  }

  #assertAtStart(piece: Unchanged): Unchanged {
    if (this.#frame.filled > 0) throw new RangeError(`something unchanged begins at byte ${this.#frame.filled} of a frame`);
    return piece;
  }

  async *#addZeros(zeros: number): AsyncGenerator<PlainFrame, void, undefined> {
    const frame = this.#frame;
    let left = zeros;
    if (frame.filled > 0) {
      left -= await this.#fillZeros(Math.min(left, this.#frameSize - frame.filled));
      if (frame.filled < this.#frameSize) return;
      yield frame.finish();
    }
    const count = Math.floor(left / this.#frameSize);
    if (count > 0) yield { count, plainBytes: this.#frameSize };
    await this.#fillZeros(left - count * this.#frameSize);
  }

  async #fillZeros(bytes: number): Promise<number> {
    const { filled } = this.#frame;
    if (bytes > 0) (await this.#frame.current()).fill(0, filled, filled + bytes);
    this.#frame.filled += bytes;
    return bytes;
  }
}
