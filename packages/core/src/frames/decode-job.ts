import { errorText } from '../report/error-text.ts';
import type { DamagePlace } from './damage.ts';
import { FormatProblem, atPlace } from './damage.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import type { DumpProgress } from './types.ts';
import type { WorkQueue } from './work-queue.ts';

export interface DecodeFramesOptions {
  readonly codec: FrameCodec;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** A run of zeros, or a frame that is being decompressed. */
export type DecodeJob = ZeroJob | DecompressJob;

interface ZeroJob {
  readonly zeros: number;
  /** Stored bytes of the dump up to the end of this run. */
  readonly storedEnd: number;
}

interface DecompressJob {
  readonly buffer: Uint8Array;
  readonly plain: Promise<Uint8Array>;
  /** Stored bytes of the dump up to the end of this frame. */
  readonly storedEnd: number;
}

/** Where a frame is in the dump, and its size. */
export interface FramePlace extends DamagePlace {
  readonly frame: number;
  readonly plainBytes: number;
}

/** Starts the jobs of one dump. */
export class DecodeJobs {
  readonly #frameSize: number;
  readonly #memory: BudgetShare;
  readonly #options: DecodeFramesOptions;
  readonly #signal: AbortSignal;

  constructor(frameSize: number, memory: BudgetShare, options: DecodeFramesOptions, signal: AbortSignal) {
    this.#frameSize = frameSize;
    this.#memory = memory;
    this.#options = options;
    this.#signal = signal;
  }

  /**
   * Reads a frame into memory of the budget, and starts to decompress it.
   *
   * @param read fills the start of `output` and returns that part; it ends before this does
   * @param check runs in parallel with other frames, before the frame is decompressed
   * @throws GantryError `DUMP_DAMAGED` if `read` throws a FormatProblem; damage found later rejects the job's `plain`
   */
  async start(
    place: FramePlace,
    read: (output: Uint8Array) => Promise<Uint8Array>,
    check: (stored: Uint8Array) => Promise<void> = async () => undefined,
  ): Promise<Omit<DecompressJob, 'storedEnd'>> {
    const { codec, work } = this.#options;
    const storedBound = codec.storedBound(this.#frameSize);
    const buffer = await this.#memory.acquire(this.#frameSize + storedBound, this.#signal);
    try {
      // An uncompressed frame needs no second buffer.
      const stored = await atPlace(place, read(storedBound === 0 ? buffer : buffer.subarray(this.#frameSize)));
      const plain = atPlace(
        place,
        work.run(this.#signal, async () => {
          await check(stored);
          return decompress(codec, stored, buffer.subarray(0, place.plainBytes));
        }),
      );
      // A failure is handled when its turn comes.
      plain.catch(() => undefined);
      return { buffer, plain };
    } catch (error) {
      this.#memory.release(buffer);
      throw error;
    }
  }
}

/** @throws FormatProblem for a frame that is damaged or differs in size from `output` */
export async function decompress(codec: Pick<FrameCodec, 'decompress'>, stored: Uint8Array, output: Uint8Array): Promise<Uint8Array> {
  let plain: Uint8Array;
  try {
    plain = await codec.decompress(stored, output);
  } catch (error) {
    throw new FormatProblem(`it cannot be decompressed: ${errorText(error)}`, { cause: error });
  }
  if (plain.length !== output.length) throw new FormatProblem(`size mismatch: got ${plain.length} plain bytes, expected ${output.length}`);
  return plain;
}

/** Releases the memory when no thread uses it any more. */
export function releaseJob(job: DecodeJob, memory: BudgetShare): void {
  if ('zeros' in job) return;
  const release = (): void => memory.release(job.buffer);
  job.plain.then(release, release);
}
