import { orAbort } from '@gantry/transport';
import type { PlainFrame } from './framer.ts';
import type { BudgetShare } from './memory-budget.ts';
import type { ChangesReader } from './plain-reader.ts';
import type { Hole, Unchanged } from './types.ts';
import { isZero } from './zeros.ts';

/** The frame that is being filled, in memory of the budget: taken when it is first needed. */
export class FrameBuffer {
  readonly #bytes: number;
  readonly #memory: BudgetShare;
  readonly #signal: AbortSignal;
  #buffer: Uint8Array | undefined;
  /** Plain bytes that are in it. */
  filled = 0;

  /** @param bytes of each buffer: the largest frame, or more if the next stage needs space after the frame */
  constructor(bytes: number, memory: BudgetShare, signal: AbortSignal) {
    this.#bytes = bytes;
    this.#memory = memory;
    this.#signal = signal;
  }

  async current(): Promise<Uint8Array> {
    return (this.#buffer ??= await this.#memory.acquire(this.#bytes, this.#signal));
  }

  /** Reads to its free space, up to byte `end`. Does not count what was read. */
  async read(source: ChangesReader, end: number): Promise<number | Hole | Unchanged | undefined> {
    const output = (await this.current()).subarray(this.filled, end);
    try {
      return await orAbort(source.read(output), this.#signal);
    } catch (error) {
      // The unfinished read may still write to the buffer.
      if (this.#buffer !== undefined) this.#memory.discard(this.#buffer);
      this.#buffer = undefined;
      throw error;
    }
  }

  /** The frame that is complete; its buffer belongs to the caller. */
  finish(): PlainFrame {
    const buffer = this.#buffer;
    const plainBytes = this.filled;
    this.filled = 0;
    // A frame of zeros needs no memory: the next frame reuses its buffer.
    if (buffer === undefined || isZero(buffer.subarray(0, plainBytes))) return { count: 1, plainBytes };
    this.#buffer = undefined;
    return { buffer, plainBytes };
  }

  /** Gives back the memory of a frame that was not finished. */
  release(): void {
    if (this.#buffer !== undefined) this.#memory.release(this.#buffer);
    this.#buffer = undefined;
  }
}
