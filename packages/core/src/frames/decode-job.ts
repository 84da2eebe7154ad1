import type { DamagePlace } from './damage.ts';
import { FormatProblem, locate } from './damage.ts';
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
  /** Stored bytes up to its end. */
  readonly storedEnd: number;
}

interface DecompressJob {
  readonly buffer: Uint8Array;
  readonly plain: Promise<Uint8Array>;
  readonly storedEnd: number;
}

/** Where a frame is in the dump, and what it holds. */
export interface FramePlace extends DamagePlace {
  readonly frame: number;
  readonly plainBytes: number;
}

/** Makes the jobs of one dump. */
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
   * Has a frame read into memory that is lent, and starts to decompress it.
   *
   * @param read fills the start of the memory that it is given, and returns that part; it comes back before this does
   * @param check runs beside other frames, before the frame is decompressed
   * @throws GantryError `DUMP_DAMAGED` where `read` throws a FormatProblem; what is found later rejects the job's `plain`
   */
  async start(
    place: FramePlace,
    read: (output: Uint8Array) => Promise<Uint8Array>,
    check: (stored: Uint8Array) => Promise<void> = async () => undefined,
  ): Promise<Omit<DecompressJob, 'storedEnd'> & { readonly storedBytes: number }> {
    const { codec, work } = this.#options;
    const beside = codec.storedBound(this.#frameSize);
    const buffer = await this.#memory.take(this.#frameSize + beside, this.#signal);
    try {
      // What is stored as it is needs no second place.
      const stored = await locate(place, read(beside === 0 ? buffer : buffer.subarray(this.#frameSize)));
      const plain = locate(
        place,
        work.run(this.#signal, async () => {
          await check(stored);
          return decompress(codec, stored, buffer.subarray(0, place.plainBytes));
        }),
      );
      // A failure is dealt with when its turn comes.
      plain.catch(() => undefined);
      return { buffer, plain, storedBytes: stored.length };
    } catch (error) {
      this.#memory.giveBack(buffer);
      throw error;
    }
  }
}

/** @throws FormatProblem for a frame that is damaged or of another size than `output` */
export async function decompress(codec: FrameCodec, stored: Uint8Array, output: Uint8Array): Promise<Uint8Array> {
  let plain: Uint8Array;
  try {
    plain = await codec.decompress(stored, output);
  } catch (error) {
    throw new FormatProblem(`it cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (plain.length !== output.length) throw new FormatProblem(`it has ${plain.length} bytes and should have ${output.length}`);
  return plain;
}

/** Gives the memory back when no thread works in it any more. */
export function release(job: DecodeJob, memory: BudgetShare): void {
  if ('zeros' in job) return;
  const giveBack = (): void => memory.giveBack(job.buffer);
  job.plain.then(giveBack, giveBack);
}
