import { createHash } from 'node:crypto';
import { abortable, orAbort } from './abortable.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { DataFrame, Frame } from './framer.ts';
import { Framer } from './framer.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { readAhead } from './read-ahead.ts';
import type { DumpProgress, DumpSummary, PlainPiece } from './types.ts';
import { Uint32List } from './uint32-list.ts';

export interface EncodeFramesOptions {
  readonly codec: FrameCodec;
  readonly frameSize: number;
  readonly concurrency: number;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** What the parts of a summary come to that depend on the data. */
export type EncodedTotals = Omit<DumpSummary, 'codec' | 'level' | 'frameSize'>;

type Job = { readonly zeros: Extract<Frame, { readonly count: number }> } | CompressJob;

interface CompressJob {
  readonly frame: DataFrame;
  readonly stored: Promise<Uint8Array>;
}

/** As many zero frames as go into one chunk. */
const ZERO_FRAMES_AT_ONCE = 64;

/** The stored bytes of a dump whose codec has frames; then the totals. */
export async function* encodeFrames(
  pieces: AsyncIterable<PlainPiece>,
  o: EncodeFramesOptions,
): AsyncGenerator<Uint8Array, EncodedTotals, undefined> {
  const memory = o.budget.share();
  const output = new Output(o.codec, o.onProgress);
  const drop = (job: Job): void => void ('frame' in job && release(job, memory));
  for await (const job of readAhead((signal) => compressJobs(pieces, memory, o, signal), o.concurrency, o.signal, drop)) {
    if ('zeros' in job) {
      yield* output.zeroFrames(job.zeros.count, job.zeros.plainBytes);
      continue;
    }
    try {
      yield output.frame(await orAbort(job.stored, o.signal), job.frame.plainBytes);
    } finally {
      release(job, memory);
    }
  }
  if (output.frames === 0) yield* output.zeroFrames(1, 0);
  yield* output.trailer(o.frameSize);
  return output.totals();
}

/** Starts to compress each frame as soon as it is full. */
async function* compressJobs(
  pieces: AsyncIterable<PlainPiece>,
  memory: BudgetShare,
  { codec, frameSize }: EncodeFramesOptions,
  signal: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  const framer = new Framer(frameSize, frameSize + codec.storedBound(frameSize), memory, signal);
  for await (const frame of framer.frames(abortable(pieces, signal))) {
    if ('count' in frame) yield { zeros: frame };
    else yield startJob(frame, codec, frameSize);
  }
}

function startJob(frame: DataFrame, codec: FrameCodec, frameSize: number): CompressJob {
  const stored = codec.compress(frame.buffer.subarray(0, frame.plainBytes), frame.buffer.subarray(frameSize));
  // It is heard when its turn comes.
  stored.catch(() => undefined);
  return { frame, stored };
}

/** Gives the memory back when no thread works in it any more. */
function release({ frame, stored }: CompressJob, memory: BudgetShare): void {
  const giveBack = (): void => memory.giveBack(frame.buffer);
  stored.then(giveBack, giveBack);
}

/** Counts, digests and lists what goes out. */
class Output {
  readonly #codec: FrameCodec;
  readonly #onProgress: DumpProgress | undefined;
  readonly #digest = createHash('sha256');
  readonly #storedSizes = new Uint32List();
  #plainBytes = 0;
  #storedBytes = 0;

  constructor(codec: FrameCodec, onProgress: DumpProgress | undefined) {
    this.#codec = codec;
    this.#onProgress = onProgress;
  }

  get frames(): number {
    return this.#storedSizes.length;
  }

  frame(stored: Uint8Array, plainBytes: number): Uint8Array {
    this.#storedSizes.push(stored.length);
    this.#plainBytes += plainBytes;
    return this.#bytes(stored);
  }

  *zeroFrames(count: number, plainBytes: number): Generator<Uint8Array, void, undefined> {
    const one = this.#codec.zeroFrame(plainBytes);
    const many = Buffer.concat(Array.from({ length: Math.min(count, ZERO_FRAMES_AT_ONCE) }, () => one));
    for (let left = count; left > 0;) {
      const now = Math.min(left, ZERO_FRAMES_AT_ONCE);
      left -= now;
      for (let frame = 0; frame < now; frame += 1) this.#storedSizes.push(one.length);
      this.#plainBytes += now * plainBytes;
      yield this.#bytes(many.subarray(0, now * one.length));
    }
  }

  *trailer(frameSize: number): Generator<Uint8Array, void, undefined> {
    for (const chunk of this.#codec.trailer(frameSize, this.#plainBytes, this.#storedSizes)) yield this.#bytes(chunk);
  }

  totals(): EncodedTotals {
    return {
      frames: this.frames,
      plainBytes: this.#plainBytes,
      storedBytes: this.#storedBytes,
      sha256: this.#digest.digest('hex'),
    };
  }

  #bytes(chunk: Uint8Array): Uint8Array {
    this.#digest.update(chunk);
    this.#storedBytes += chunk.length;
    this.#onProgress?.(this.#plainBytes, this.#storedBytes);
    return chunk;
  }
}
