import { orAbort } from '@gantry/transport';
import { abortable } from '../system/abortable.ts';
import { FormatProblem, locate } from './damage.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FramePlan } from './frame-plan.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { readAhead } from '../system/read-ahead.ts';
import { StreamDigest } from './stream-digest.ts';
import type { DumpProgress, PlainPiece } from './types.ts';
import { Uint32List } from '../system/uint32-list.ts';
import type { WorkQueue } from './work-queue.ts';
import { isZero } from './zeros.ts';

export interface DecodeFramesOptions {
  readonly codec: FrameCodec;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

type Job = DecompressJob | ZeroJob;

interface ZeroJob {
  readonly zeros: number;
  /** Stored bytes up to its end. */
  readonly storedEnd: number;
}

interface DecompressJob {
  readonly buffer: Uint8Array;
  readonly plain: Promise<Uint8Array>;
  readonly storedEnd: number;
}

/** Frames that wait for a processor or for their turn to go out, so that neither has to wait for the other. */
const FRAMES_AHEAD = 2;

/** The plain stream of a dump whose codec has frames. */
export async function* decodeFrames(
  stored: AsyncIterable<Uint8Array>,
  plan: FramePlan,
  o: DecodeFramesOptions,
): AsyncGenerator<PlainPiece, void, undefined> {
  using _contexts = o.codec.use();
  const memory = o.budget.share();
  const drop = (job: Job): void => void ('plain' in job && release(job, memory));
  const open = (signal: AbortSignal): AsyncGenerator<Job, void, undefined> => new FrameReader(plan, memory, o, signal).jobs(stored);
  let plainBytes = 0;
  for await (const job of readAhead(open, o.work.limit + FRAMES_AHEAD, o.signal, drop)) {
    if ('zeros' in job) {
      plainBytes += job.zeros;
      o.onProgress?.(plainBytes, job.storedEnd);
      yield { zeros: job.zeros };
      continue;
    }
    try {
      const plain = await orAbort(job.plain, o.signal);
      plainBytes += plain.length;
      o.onProgress?.(plainBytes, job.storedEnd);
      yield isZero(plain) ? { zeros: plain.length } : plain;
    } finally {
      release(job, memory);
    }
  }
}

/** Reads the stored frames one after the other. */
class FrameReader {
  readonly #plan: FramePlan;
  readonly #memory: BudgetShare;
  readonly #options: DecodeFramesOptions;
  readonly #signal: AbortSignal;
  readonly #storedSizes = new Uint32List();
  #plainBytes = 0;

  constructor(plan: FramePlan, memory: BudgetShare, options: DecodeFramesOptions, signal: AbortSignal) {
    this.#plan = plan;
    this.#memory = memory;
    this.#options = options;
    this.#signal = signal;
  }

  /** Has each frame decompressed as soon as it is there; at the end, checks the dump as a whole. */
  async *jobs(stored: AsyncIterable<Uint8Array>): AsyncGenerator<Job, void, undefined> {
    const { codec } = this.#options;
    using digest = new StreamDigest();
    await using reader = new DumpReader(abortable(stored, this.#signal), digest);
    for (;;) {
      const zeros = this.#zeroFrames(reader);
      if (zeros !== undefined) {
        yield zeros;
        continue;
      }
      const place = { frame: this.#storedSizes.length, offset: reader.offset };
      const size = await locate(place, this.#plan.next(reader, place.frame));
      if (size === undefined) break;
      yield await this.#frame(reader, size);
    }
    await locate({ offset: reader.offset }, codec.readTrailer(reader, this.#plan.frameSize, this.#plainBytes, this.#storedSizes));
    await this.#plan.finish(reader, digest, { frames: this.#storedSizes.length, plainBytes: this.#plainBytes });
  }

  /** Full frames of zeros, known by their bytes, as many as come next. */
  #zeroFrames(reader: DumpReader): ZeroJob | undefined {
    const { frameSize } = this.#plan;
    const left = this.#plan.fullFramesLeft(this.#storedSizes.length);
    if (left === 0) return undefined;
    const zeroFrame = this.#options.codec.zeroFrame(frameSize);
    const count = reader.passRepeated(zeroFrame, left);
    if (count === 0) return undefined;
    for (let frame = 0; frame < count; frame += 1) this.#storedSizes.push(zeroFrame.length);
    this.#plainBytes += count * frameSize;
    return { zeros: count * frameSize, storedEnd: reader.offset };
  }

  async #frame(reader: DumpReader, size: number): Promise<DecompressJob> {
    const { frameSize } = this.#plan;
    const { codec, work } = this.#options;
    const place = { frame: this.#storedSizes.length, offset: reader.offset };
    const buffer = await this.#memory.take(frameSize + codec.storedBound(frameSize), this.#signal);
    try {
      const bytes = await locate(place, codec.read(reader, size, buffer.subarray(frameSize)));
      this.#storedSizes.push(bytes.length);
      this.#plainBytes += size;
      const plain = locate(
        place,
        work.run(this.#signal, () => decompress(codec, bytes, buffer.subarray(0, size))),
      );
      // A failure is heard when its turn comes.
      plain.catch(() => undefined);
      return { buffer, plain, storedEnd: reader.offset };
    } catch (error) {
      this.#memory.giveBack(buffer);
      throw error;
    }
  }
}

async function decompress(codec: FrameCodec, stored: Uint8Array, room: Uint8Array): Promise<Uint8Array> {
  let plain: Uint8Array;
  try {
    plain = await codec.decompress(stored, room);
  } catch (error) {
    throw new FormatProblem(`it cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (plain.length !== room.length) throw new FormatProblem(`it has ${plain.length} bytes and should have ${room.length}`);
  return plain;
}

/** Gives the memory back when no thread works in it any more. */
function release({ buffer, plain }: DecompressJob, memory: BudgetShare): void {
  const giveBack = (): void => memory.giveBack(buffer);
  plain.then(giveBack, giveBack);
}
