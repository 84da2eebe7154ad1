import type { CutSizes } from './content-cutter.ts';
import { CONTENT_CUT, ContentCutter } from './content-cutter.ts';
import { FrameBuffer } from './frame-buffer.ts';
import type { PlainFrame } from './framer.ts';
import type { BudgetShare } from './memory-budget.ts';
import type { ChangesReader } from './plain-reader.ts';

/** Bytes that are read at once: what is left of them after a frame is copied. */
const READ_BYTES = 256 * 1024;

/** Reads a plain stream straight into frames that end where the content says. A stream of no bytes has no frames. */
export class ContentFramer {
  readonly #sizes: CutSizes;
  readonly #cutter: ContentCutter;
  readonly #frame: FrameBuffer;
  readonly #rest = Buffer.allocUnsafeSlow(READ_BYTES);
  #restBytes = 0;

  /** @param bufferSize bytes of each frame's buffer: the largest frame, or more if the next stage needs space after the frame */
  constructor(bufferSize: number, memory: BudgetShare, signal: AbortSignal, sizes: CutSizes = CONTENT_CUT) {
    this.#sizes = sizes;
    this.#cutter = new ContentCutter(sizes);
    this.#frame = new FrameBuffer(bufferSize, memory, signal);
  }

  /** The frames. The caller releases their buffers. @throws RangeError for something unchanged: the cuts in it are not known */
  async *frames(source: ChangesReader): AsyncGenerator<PlainFrame, void, undefined> {
    const frame = this.#frame;
    try {
      for (;;) {
        const end = Math.min(frame.filled + READ_BYTES, this.#sizes.max);
        const piece = this.#takeRest(await frame.current()) ?? (await frame.read(source, end));
        if (piece === undefined) break;
        if (typeof piece === 'number') yield* this.#addBytes(piece);
        else if ('zeros' in piece) yield* this.#addZeros(piece.zeros);
        else throw new RangeError(`${piece.unchanged} bytes that have not changed cannot be cut by their content`);
      }
      if (frame.filled > 0) yield frame.finish();
    } finally {
      frame.release();
    }
  }

  /** What was read beyond the end of the frame before. */
  #takeRest(buffer: Uint8Array): number | undefined {
    const bytes = this.#restBytes;
    if (bytes === 0) return undefined;
    buffer.set(this.#rest.subarray(0, bytes));
    this.#restBytes = 0;
    return bytes;
  }

  /** @param bytes that were added to the buffer */
  async *#addBytes(bytes: number): AsyncGenerator<PlainFrame, void, undefined> {
    const frame = this.#frame;
    const added = (await frame.current()).subarray(frame.filled, frame.filled + bytes);
    const end = this.#cutter.next(added);
    frame.filled += end ?? bytes;
    if (end === undefined) return;
    this.#rest.set(added.subarray(end));
    this.#restBytes = bytes - end;
    yield frame.finish();
  }

  async *#addZeros(zeros: number): AsyncGenerator<PlainFrame, void, undefined> {
    const { max } = this.#sizes;
    const frame = this.#frame;
    for (let left = zeros; left > 0;) {
      // The content of zeros never says to cut.
      const count = frame.filled === 0 ? Math.floor(left / max) : 0;
      if (count > 0) yield { count, plainBytes: max };
      const bytes = Math.min(left - count * max, max - frame.filled);
      const added = (await frame.current()).subarray(frame.filled, frame.filled + bytes).fill(0);
      const end = this.#cutter.next(added);
      frame.filled += end ?? bytes;
      left -= count * max + (end ?? bytes);
      if (end !== undefined) yield frame.finish();
    }
  }
}
