import { orAbort } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { abortable } from '../system/abortable.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { DataFrame, ZeroFrames } from './framer.ts';
import { Framer } from './framer.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { readAhead } from '../system/read-ahead.ts';
import { StreamDigest } from './stream-digest.ts';
import type { DumpProgress, DumpSummary, PlainPiece } from './types.ts';
import { Uint32List } from '../system/uint32-list.ts';
import type { WorkQueue } from './work-queue.ts';

export interface EncodeFramesOptions {
  readonly codec: FrameCodec;
  readonly frameSize: number;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** What the parts of a summary come to that depend on the data. */
export type EncodedTotals = Omit<DumpSummary, 'codec' | 'level' | 'frameSize'>;

type Job = CompressJob | { readonly zeros: ZeroFrames };

interface CompressJob {
  readonly frame: DataFrame;
  readonly stored: Promise<Uint8Array>;
}

/** Frames that wait for a processor or for their turn to go out, so that neither has to wait for the other. */
const FRAMES_AHEAD = 2;
/** As many zero frames as go into one chunk. */
const ZERO_FRAMES_AT_ONCE = 64;

/** The stored bytes of a dump whose codec has frames; then the totals. */
export async function* encodeFrames(
  pieces: AsyncIterable<PlainPiece>,
  o: EncodeFramesOptions,
): AsyncGenerator<Uint8Array, EncodedTotals, undefined> {
  using _contexts = o.codec.use();
  using output = new Output(o);
  const memory = o.budget.share();
  const drop = (job: Job): void => void ('frame' in job && release(job, memory));
  const open = (signal: AbortSignal): AsyncGenerator<Job, void, undefined> => compressJobs(pieces, memory, o, signal);
  for await (const job of readAhead(open, o.work.limit + FRAMES_AHEAD, o.signal, drop)) {
    if ('zeros' in job) yield* output.zeroFrames(job.zeros);
    else {
      let digested: Promise<unknown> | undefined;
      try {
        const stored = await orAbort(job.stored, o.signal);
        digested = output.frame(stored, job.frame.plainBytes);
        yield stored;
      } finally {
        release(job, memory, digested);
      }
    }
  }
  if (output.frames === 0) yield* output.zeroFrames({ count: 1, plainBytes: 0 });
  yield* output.trailer();
  return await output.totals();
}

/** Has each frame compressed as soon as it is full. */
async function* compressJobs(
  pieces: AsyncIterable<PlainPiece>,
  memory: BudgetShare,
  { codec, frameSize, work }: EncodeFramesOptions,
  signal: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  const framer = new Framer(frameSize, frameSize + codec.storedBound(frameSize), memory, signal);
  for await (const frame of framer.frames(abortable(pieces, signal))) {
    if ('count' in frame) {
      yield { zeros: frame };
      continue;
    }
    const stored = work.run(signal, () => codec.compress(frame.buffer.subarray(0, frame.plainBytes), frame.buffer.subarray(frameSize)));
    // A failure is heard when its turn comes.
    stored.catch(() => undefined);
    yield { frame, stored };
  }
}

/** Gives the memory back when no thread works in it any more. */
function release({ frame, stored }: CompressJob, memory: BudgetShare, digested?: Promise<unknown>): void {
  void Promise.allSettled([stored, digested]).then(() => memory.giveBack(frame.buffer));
}

/** Counts, digests and lists what goes out. */
class Output implements Disposable {
  readonly #options: EncodeFramesOptions;
  readonly #digest = new StreamDigest();
  readonly #storedSizes = new Uint32List();
  #plainBytes = 0;
  #storedBytes = 0;

  constructor(options: EncodeFramesOptions) {
    this.#options = options;
  }

  get frames(): number {
    return this.#storedSizes.length;
  }

  /** @returns when the bytes have been digested: until then they must stay */
  frame(stored: Uint8Array, plainBytes: number): Promise<void> {
    this.#list(stored.length, 1, plainBytes);
    return this.#count(stored);
  }

  async *zeroFrames({ count, plainBytes }: ZeroFrames): AsyncGenerator<Uint8Array, void, undefined> {
    const one = this.#options.codec.zeroFrame(plainBytes);
    const many = Buffer.concat(Array.from({ length: Math.min(count, ZERO_FRAMES_AT_ONCE) }, () => one));
    for (let left = count; left > 0;) {
      this.#options.signal.throwIfAborted();
      const now = Math.min(left, ZERO_FRAMES_AT_ONCE);
      left -= now;
      this.#list(one.length, now, plainBytes);
      const chunk = many.subarray(0, now * one.length);
      await this.#count(chunk);
      yield chunk;
    }
  }

  async *trailer(): AsyncGenerator<Uint8Array, void, undefined> {
    const { codec, frameSize } = this.#options;
    for (const chunk of codec.trailer(frameSize, this.#plainBytes, this.#storedSizes)) {
      await this.#count(chunk);
      yield chunk;
    }
  }

  async totals(): Promise<EncodedTotals> {
    return {
      frames: this.frames,
      plainBytes: this.#plainBytes,
      storedBytes: this.#storedBytes,
      sha256: await this.#digest.hex(),
    };
  }

  [Symbol.dispose](): void {
    this.#digest[Symbol.dispose]();
  }

  #list(storedBytes: number, count: number, plainBytes: number): void {
    const { mostFrames } = this.#options.codec;
    if (this.frames + count > mostFrames) {
      throw new GantryError('USAGE', {
        message: `the disk has more than the ${mostFrames} frames that a dump of this codec can have`,
        hint: 'Use another codec, such as none.',
      });
    }
    for (let frame = 0; frame < count; frame += 1) this.#storedSizes.push(storedBytes);
    this.#plainBytes += count * plainBytes;
  }

  #count(chunk: Uint8Array): Promise<void> {
    this.#storedBytes += chunk.length;
    this.#options.onProgress?.(this.#plainBytes, this.#storedBytes);
    return this.#digest.update(chunk);
  }
}
