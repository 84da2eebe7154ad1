import { orAbort } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import type { DataFrame, ZeroFrames } from './framer.ts';
import { Framer } from './framer.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { readAhead } from '../system/read-ahead.ts';
import { StreamDigest } from './stream-digest.ts';
import type { PlainReader } from './plain-reader.ts';
import type { DumpProgress, DumpSummary } from './types.ts';
import type { WorkQueue } from './work-queue.ts';

export interface EncodeFramesOptions {
  readonly codec: FrameCodec;
  readonly frameSize: number;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** What a dump comes to, as far as that depends on the data. */
export interface EncodedFrames {
  readonly totals: Omit<DumpSummary, 'codec' | 'level' | 'frameSize'>;
  readonly table: FrameTable;
}

type Job = CompressJob | { readonly zeros: ZeroFrames };

interface CompressJob {
  readonly frame: DataFrame;
  readonly stored: Promise<StoredFrame>;
}

interface StoredFrame {
  readonly bytes: Uint8Array;
  readonly checksum: number;
}

/** Frames that wait for a processor or for their turn to go out, so that neither has to wait for the other. */
const FRAMES_AHEAD = 2;
/** Zero frames that go out as one chunk: at most this many, and of large ones this many bytes. */
const MAX_ZERO_FRAMES_AT_ONCE = 64;
const MAX_ZERO_CHUNK_BYTES = 1024 * 1024;

/** The stored bytes of a dump, a chunk a frame; then what it comes to. */
export async function* encodeFrames(source: PlainReader, o: EncodeFramesOptions): AsyncGenerator<Uint8Array, EncodedFrames, undefined> {
  using _contexts = o.codec.use();
  using output = new Output(o);
  const memory = o.budget.share();
  const drop = (job: Job): void => void ('frame' in job && release(job, memory));
  const open = (signal: AbortSignal): AsyncGenerator<Job, void, undefined> => compressJobs(source, memory, o, signal);
  for await (const job of readAhead(open, o.work.limit + FRAMES_AHEAD, o.signal, drop)) {
    if ('zeros' in job) yield* output.zeroFrames(job.zeros);
    else {
      let digested: Promise<unknown> | undefined;
      try {
        const stored = await orAbort(job.stored, o.signal);
        digested = output.frame(stored, job.frame.plainBytes);
        yield stored.bytes;
      } finally {
        release(job, memory, digested);
      }
    }
  }
  if (output.frames < o.codec.minFrames) yield* output.zeroFrames({ count: 1, plainBytes: 0 });
  yield* output.trailer();
  return await output.finish();
}

/** Has each frame compressed as soon as it is full. */
async function* compressJobs(
  source: PlainReader,
  memory: BudgetShare,
  { codec, frameSize, work }: EncodeFramesOptions,
  signal: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  const framer = new Framer(frameSize, frameSize + codec.storedBound(frameSize), memory, signal);
  for await (const frame of framer.frames(source)) {
    if ('count' in frame) {
      yield { zeros: frame };
      continue;
    }
    const stored = work.run(signal, () => compress(codec, frame, frameSize));
    // A failure is dealt with when its turn comes.
    stored.catch(() => undefined);
    yield { frame, stored };
  }
}

async function compress(codec: FrameCodec, { buffer, plainBytes }: DataFrame, frameSize: number): Promise<StoredFrame> {
  const bytes = await codec.compress(buffer.subarray(0, plainBytes), buffer.subarray(frameSize));
  return { bytes, checksum: await codec.checksum(bytes) };
}

/** Gives the memory back when no thread works in it any more. */
function release({ frame, stored }: CompressJob, memory: BudgetShare, digested?: Promise<unknown>): void {
  void Promise.allSettled([stored, digested]).then(() => memory.giveBack(frame.buffer));
}

/** Counts, digests and lists what goes out. */
class Output implements Disposable {
  readonly #options: EncodeFramesOptions;
  readonly #digest = new StreamDigest();
  readonly #table = new FrameTable();
  #plainBytes = 0;
  #storedBytes = 0;

  constructor(options: EncodeFramesOptions) {
    this.#options = options;
  }

  get frames(): number {
    return this.#table.length;
  }

  /** @returns when the bytes have been digested: until then they must stay */
  frame({ bytes, checksum }: StoredFrame, plainBytes: number): Promise<void> {
    this.#list({ storedBytes: bytes.length, isZeros: false, checksum }, 1, plainBytes);
    return this.#count(bytes);
  }

  async *zeroFrames({ count, plainBytes }: ZeroFrames): AsyncGenerator<Uint8Array, void, undefined> {
    const { codec, signal } = this.#options;
    const one = codec.zeroFrame(plainBytes);
    const entry = { storedBytes: one.length, isZeros: true, checksum: await codec.checksum(one) };
    const atOnce = Math.max(1, Math.min(count, MAX_ZERO_FRAMES_AT_ONCE, Math.floor(MAX_ZERO_CHUNK_BYTES / Math.max(1, one.length))));
    const many = atOnce === 1 ? one : Buffer.concat(Array.from({ length: atOnce }, () => one));
    for (let left = count; left > 0;) {
      signal.throwIfAborted();
      const now = Math.min(left, atOnce);
      left -= now;
      this.#list(entry, now, plainBytes);
      const chunk = many.subarray(0, now * one.length);
      await this.#count(chunk);
      yield chunk;
    }
  }

  async *trailer(): AsyncGenerator<Uint8Array, void, undefined> {
    const { codec, frameSize } = this.#options;
    for (const chunk of codec.trailer(frameSize, this.#plainBytes, this.#table)) {
      await this.#count(chunk);
      yield chunk;
    }
  }

  async finish(): Promise<EncodedFrames> {
    const sha256 = await this.#digest.hex();
    return {
      totals: { frames: this.frames, plainBytes: this.#plainBytes, storedBytes: this.#storedBytes, sha256 },
      table: this.#table,
    };
  }

  [Symbol.dispose](): void {
    this.#digest[Symbol.dispose]();
  }

  #list(entry: FrameEntry, count: number, plainBytes: number): void {
    const { maxFrames } = this.#options.codec;
    if (this.frames + count > maxFrames) {
      throw new GantryError('USAGE', {
        message: `the disk has more than the ${maxFrames} frames that a dump of this codec can have`,
        hint: 'Use another codec, such as none.',
      });
    }
    for (let frame = 0; frame < count; frame += 1) this.#table.push(entry);
    this.#plainBytes += count * plainBytes;
  }

  #count(chunk: Uint8Array): Promise<void> {
    this.#storedBytes += chunk.length;
    this.#options.onProgress?.(this.#plainBytes, this.#storedBytes);
    return this.#digest.update(chunk);
  }
}
