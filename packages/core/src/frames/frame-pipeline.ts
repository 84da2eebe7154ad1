import { orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import { ContentFramer } from './content-framer.ts';
import type { DataFrame, PlainFrame, ZeroFrames } from './framer.ts';
import { Framer } from './framer.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import type { ChangesReader } from './plain-reader.ts';
import type { Unchanged } from './types.ts';
import type { WorkQueue } from './work-queue.ts';
import { FRAMES_AHEAD } from './work-queue.ts';

export interface PipelineOptions {
  /** Plain bytes of every frame but the last; the most that a frame has if the content decides where it ends. */
  readonly frameSize: number;
  /** Frames end where the content says (docs/reference/formats/content-cuts.md), not at multiples of `frameSize`. */
  readonly byContent: boolean;
  /** Bytes after each frame in its buffer, for what is made of it. */
  readonly outputBytes: number;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
}

/** A frame with data, and where it is in the plain stream. */
export interface PlacedFrame {
  /** Plain bytes before it. */
  readonly start: number;
  /** Its data. */
  readonly plain: Uint8Array;
  /** Memory for what is made of it. */
  readonly output: Uint8Array;
}

/** Runs what keeps a processor busy, when it is its turn. */
export type TakeTurn = <T>(work: () => Promise<T>) => Promise<T>;

/** What comes of one frame. */
export interface TakenFrame {
  /** To be yielded, if there are any. They may be in the memory of the frame. */
  readonly bytes?: Uint8Array;
  /** Until this resolves, the memory of the frame is used. */
  readonly digested?: Promise<unknown>;
}

/** What becomes of the frames of a plain stream. */
export interface FrameStages<Made> {
  /** Called for several frames at once: what takes long runs on other threads, and in turns. */
  make(frame: PlacedFrame, turn: TakeTurn): Promise<Made>;
  /** Called in the order of the frames. */
  take(made: Made, frame: PlacedFrame): TakenFrame;
  /** A run of zeros, in the order of the frames: the bytes to yield, if there are any. */
  zeros(zeros: ZeroFrames): AsyncIterable<Uint8Array> | undefined;
  /** What has not changed since the parent, in the order of the frames. Only for sources that can say so. */
  unchanged?(unchanged: PlacedUnchanged): void;
}

/** Something unchanged, and where it is in the plain stream. */
export interface PlacedUnchanged extends Unchanged {
  /** Plain bytes before it. */
  readonly start: number;
}

type Job<Made> = FrameJob<Made> | { readonly zeros: ZeroFrames } | PlacedUnchanged;

interface FrameJob<Made> {
  readonly frame: PlacedFrame;
  readonly buffer: Uint8Array;
  readonly made: Promise<Made>;
}

/**
 * Cuts a plain stream into frames, has something made of several at once, and yields what comes of them in their order.
 *
 * @throws the errors of `source` and of the stages; TypeError for something unchanged if the stages have no parent; the signal's reason
 */
export async function* throughFrames<Made>(
  source: ChangesReader,
  stages: FrameStages<Made>,
  o: PipelineOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const memory = o.budget.share();
  const drop = (job: Job<Made>): void => void ('frame' in job && releaseJob(job, memory));
  const open = (signal: AbortSignal): AsyncGenerator<Job<Made>, void, undefined> => startJobs(source, stages, memory, o, signal);
  for await (const job of readAhead(open, o.work.limit + FRAMES_AHEAD, o.signal, drop)) {
    if ('zeros' in job) {
      const chunks = stages.zeros(job.zeros);
      if (chunks !== undefined) yield* chunks;
    } else if ('unchanged' in job) {
      if (stages.unchanged === undefined)
        throw new TypeError(`${job.unchanged} bytes at ${job.start} have not changed, but there is no parent`);
      stages.unchanged(job);
    } else {
      let digested: Promise<unknown> | undefined;
      try {
        const taken = stages.take(await orAbort(job.made, o.signal), job.frame);
        digested = taken.digested;
        if (taken.bytes !== undefined) yield taken.bytes;
      } finally {
        releaseJob(job, memory, digested);
      }
    }
  }
}

/** Starts on each frame as soon as it is full. */
async function* startJobs<Made>(
  source: ChangesReader,
  stages: FrameStages<Made>,
  memory: BudgetShare,
  { frameSize, byContent, outputBytes, work }: PipelineOptions,
  signal: AbortSignal,
): AsyncGenerator<Job<Made>, void, undefined> {
  const bufferSize = frameSize + outputBytes;
  const frames: AsyncIterable<PlainFrame | Unchanged> = byContent
    ? new ContentFramer(bufferSize, memory, signal).frames(source)
    : new Framer(frameSize, bufferSize, memory, signal).frames(source);
  const turn: TakeTurn = (run) => work.run(signal, run);
  let start = 0;
  for await (const found of frames) {
    if ('unchanged' in found) {
      yield { ...found, start };
      start += found.unchanged;
      continue;
    }
    if ('count' in found) {
      start += found.count * found.plainBytes;
      yield { zeros: found };
      continue;
    }
    const frame = placed(found, start, frameSize);
    start += found.plainBytes;
    const made = stages.make(frame, turn);
    // A failure is handled when its turn comes.
    made.catch(() => undefined);
    yield { frame, buffer: found.buffer, made };
  }
}

function placed({ buffer, plainBytes }: DataFrame, start: number, frameSize: number): PlacedFrame {
  return { start, plain: buffer.subarray(0, plainBytes), output: buffer.subarray(frameSize) };
}

/** Releases the memory when no thread uses it any more. */
function releaseJob({ buffer, made }: FrameJob<unknown>, memory: BudgetShare, digested?: Promise<unknown>): void {
  void Promise.allSettled([made, digested]).then(() => memory.release(buffer));
}
