import { orAbort } from '@gantry/transport';
import type { CutSizes } from './content-cutter.ts';
import { CONTENT_CUT, ContentCutter } from './content-cutter.ts';
import type { PlainFrame } from './framer.ts';
import type { BudgetShare } from './memory-budget.ts';
import type { ChangesReader } from './plain-reader.ts';
import type { Hole, Unchanged } from './types.ts';
import { isZero } from './zeros.ts';

/** Bytes that are read at once: what is left of them after a frame is copied. */
const READ_BYTES = 256 * 1024;

/** Reads a plain stream straight into frames that end where the content says. A stream of no bytes has no frames. */
export class ContentFramer {
  readonly #sizes: CutSizes;
  readonly #cutter: ContentCutter;
  readonly #bufferSize: number;
  readonly #memory: BudgetShare;
  readonly #signal: AbortSignal;
  readonly #rest = Buffer.allocUnsafeSlow(READ_BYTES);
  #restBytes = 0;
  #buffer: Uint8Array | undefined;
  #filled = 0;

  /** @param bufferSize bytes of each frame's buffer: the largest frame, or more if the next stage needs space after the frame */
  constructor(bufferSize: number, memory: BudgetShare, signal: AbortSignal, sizes: CutSizes = CONTENT_CUT) {
    this.#sizes = sizes;
    this.#cutter = new ContentCutter(sizes);
    this.#bufferSize = bufferSize;
    this.#memory = memory;
    this.#signal = signal;
  }

  /** The frames. The caller releases their buffers. @throws RangeError for something unchanged: the cuts in it are not known */
  async *frames(source: ChangesReader): AsyncGenerator<PlainFrame, void, undefined> {
    try {
      for (;;) {
        const piece = this.#takeRest(await this.#currentBuffer()) ?? (await this.#read(source));
        if (piece === undefined) break;
        if (typeof piece === 'number') yield* this.#addBytes(piece);
        else if ('zeros' in piece) yield* this.#addZeros(piece.zeros);
        else throw new RangeError(`${piece.unchanged} bytes that have not changed cannot be cut by their content`);
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

  /** What was read beyond the end of the frame before. */
  #takeRest(buffer: Uint8Array): number | undefined {
    const bytes = this.#restBytes;
    if (bytes === 0) return undefined;
    buffer.set(this.#rest.subarray(0, bytes));
    this.#restBytes = 0;
    return bytes;
  }

  async #read(source: ChangesReader): Promise<number | Hole | Unchanged | undefined> {
    const output = (await this.#currentBuffer()).subarray(this.#filled, Math.min(this.#filled + READ_BYTES, this.#sizes.max));
    try {
      return await orAbort(source.read(output), this.#signal);
    } catch (error) {
      // The unfinished read may still write to the buffer.
      if (this.#buffer !== undefined) this.#memory.discard(this.#buffer);
      this.#buffer = undefined;
      throw error;
    }
  }

  /** @param bytes that were added to the buffer */
  async *#addBytes(bytes: number): AsyncGenerator<PlainFrame, void, undefined> {
    const added = (await this.#currentBuffer()).subarray(this.#filled, this.#filled + bytes);
    const end = this.#cutter.next(added);
    this.#filled += end ?? bytes;
    if (end === undefined) return;
    this.#rest.set(added.subarray(end));
    this.#restBytes = bytes - end;
    yield this.#finish();
  }

  async *#addZeros(zeros: number): AsyncGenerator<PlainFrame, void, undefined> {
    const { max } = this.#sizes;
    for (let left = zeros; left > 0;) {
      // The content of zeros never says to cut.
      const count = this.#filled === 0 ? Math.floor(left / max) : 0;
      if (count > 0) yield { count, plainBytes: max };
      const bytes = Math.min(left - count * max, max - this.#filled);
      const added = (await this.#currentBuffer()).subarray(this.#filled, this.#filled + bytes).fill(0);
      const end = this.#cutter.next(added);
      this.#filled += end ?? bytes;
      left -= count * max + (end ?? bytes);
      if (end !== undefined) yield this.#finish();
    }
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
