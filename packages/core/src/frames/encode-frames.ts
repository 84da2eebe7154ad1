import { orAbort } from '@gantry/transport';
import type { FrameCodec } from './frame-codec.ts';
import { FrameMap } from './frame-map.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import type { DataFrame, ZeroFrames } from './framer.ts';
import { Framer } from './framer.ts';
import { framesOfTable } from './listed-frames.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { sha256OnThread } from '../system/sha256.ts';
import { readAhead } from '../system/read-ahead.ts';
import { StreamDigest } from './stream-digest.ts';
import { tooManyFrames } from './pack-output.ts';
import type { PlainReader } from './plain-reader.ts';
import type { DumpProgress, DumpSummary } from './types.ts';
import type { WorkQueue } from './work-queue.ts';
import { FRAMES_AHEAD } from './work-queue.ts';

export interface EncodeFramesOptions {
  readonly codec: FrameCodec;
  readonly frameSize: number;
  /** Whether the data of each frame is digested for a frame map. */
  readonly withMap: boolean;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** The parts of a dump's summary that depend on its data. */
export interface EncodedFrames {
  readonly totals: Omit<DumpSummary, 'codec' | 'level' | 'frameSize'>;
  readonly table: FrameTable;
  readonly map: FrameMap | undefined;
}

type Job = CompressJob | { readonly zeros: ZeroFrames };

interface CompressJob {
  readonly frame: DataFrame;
  readonly stored: Promise<StoredFrame>;
}

interface StoredFrame {
  readonly bytes: Uint8Array;
  readonly checksum: number;
  /** Of the plain bytes; absent without a map. */
  readonly plainSha256: Uint8Array | undefined;
}

/** Limits of a chunk of several zero frames. */
const MAX_ZERO_FRAMES_AT_ONCE = 64;
const MAX_ZERO_CHUNK_BYTES = 1024 * 1024;

/** Yields the stored bytes of a dump, one chunk for each frame; returns its totals and frame table. */
export async function* encodeFrames(source: PlainReader, o: EncodeFramesOptions): AsyncGenerator<Uint8Array, EncodedFrames, undefined> {
  using _contexts = o.codec.use();
  using output = new Output(o);
  const memory = o.budget.share();
  const drop = (job: Job): void => void ('frame' in job && releaseJob(job, memory));
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
        releaseJob(job, memory, digested);
      }
    }
  }
  if (output.frames < o.codec.minFrames) yield* output.zeroFrames({ count: 1, plainBytes: 0 });
  yield* output.trailer();
  return await output.finish();
}

/** Starts to compress each frame as soon as it is full. */
async function* compressJobs(
  source: PlainReader,
  memory: BudgetShare,
  options: EncodeFramesOptions,
  signal: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  const { codec, frameSize, work } = options;
  const framer = new Framer(frameSize, frameSize + codec.storedBound(frameSize), memory, signal);
  for await (const frame of framer.frames(source)) {
    if ('count' in frame) {
      yield { zeros: frame };
      continue;
    }
    const stored = work.run(signal, () => compress(frame, options));
    // A failure is handled when its turn comes.
    stored.catch(() => undefined);
    yield { frame, stored };
  }
}

async function compress(
  { buffer, plainBytes }: DataFrame,
  { codec, frameSize, withMap }: Pick<EncodeFramesOptions, 'codec' | 'frameSize' | 'withMap'>,
): Promise<StoredFrame> {
  const plain = buffer.subarray(0, plainBytes);
  const plainSha256 = withMap ? await sha256OnThread(plain) : undefined;
  const bytes = await codec.compress(plain, buffer.subarray(frameSize));
  return { bytes, checksum: await codec.checksum(bytes), plainSha256 };
}

/** Releases the memory when no thread uses it any more. */
function releaseJob({ frame, stored }: CompressJob, memory: BudgetShare, digested?: Promise<unknown>): void {
  void Promise.allSettled([stored, digested]).then(() => memory.release(frame.buffer));
}

/** Counts and digests the stored bytes, and builds the frame table. */
class Output implements Disposable {
  readonly #options: EncodeFramesOptions;
  readonly #digest = new StreamDigest();
  readonly #table = new FrameTable();
  readonly #map: FrameMap | undefined;
  #plainBytes = 0;
  #storedBytes = 0;

  constructor(options: EncodeFramesOptions) {
    this.#options = options;
    this.#map = options.withMap ? new FrameMap() : undefined;
  }

  get frames(): number {
    return this.#table.length;
  }

  /** Resolves when the bytes have been digested: until then they must not change. */
  frame({ bytes, checksum, plainSha256 }: StoredFrame, plainBytes: number): Promise<void> {
    const place = { pack: 0, offset: this.#storedBytes, storedBytes: bytes.length };
    if (plainSha256 !== undefined) this.#map?.push({ kind: 'frame', plainBytes, sha256: plainSha256, place });
    this.#addToTable({ storedBytes: bytes.length, isZeros: false, checksum }, 1, plainBytes);
    return this.#count(bytes);
  }

  async *zeroFrames({ count, plainBytes }: ZeroFrames): AsyncGenerator<Uint8Array, void, undefined> {
    const { codec, signal } = this.#options;
    this.#map?.pushZeros(count * plainBytes);
    const frame = codec.zeroFrame(plainBytes);
    const entry = { storedBytes: frame.length, isZeros: true, checksum: await codec.checksum(frame) };
    const atOnce = Math.max(1, Math.min(count, MAX_ZERO_FRAMES_AT_ONCE, Math.floor(MAX_ZERO_CHUNK_BYTES / Math.max(1, frame.length))));
    const frames = atOnce === 1 ? frame : Buffer.concat(Array.from({ length: atOnce }, () => frame));
    for (let left = count; left > 0;) {
      signal.throwIfAborted();
      const now = Math.min(left, atOnce);
      left -= now;
      this.#addToTable(entry, now, plainBytes);
      const chunk = frames.subarray(0, now * frame.length);
      await this.#count(chunk);
      yield chunk;
    }
  }

  async *trailer(): AsyncGenerator<Uint8Array, void, undefined> {
    const { codec, frameSize } = this.#options;
    for (const chunk of codec.trailer(framesOfTable(frameSize, this.#plainBytes, this.#table))) {
      await this.#count(chunk);
      yield chunk;
    }
  }

  async finish(): Promise<EncodedFrames> {
    const sha256 = await this.#digest.hex();
    return {
      totals: { frames: this.frames, plainBytes: this.#plainBytes, storedBytes: this.#storedBytes, sha256 },
      table: this.#table,
      map: this.#map,
    };
  }

  [Symbol.dispose](): void {
    this.#digest[Symbol.dispose]();
  }

  #addToTable(entry: FrameEntry, count: number, plainBytes: number): void {
    const { codec } = this.#options;
    if (this.frames + count > codec.maxFrames) throw tooManyFrames(codec);
    for (let frame = 0; frame < count; frame += 1) this.#table.push(entry);
    this.#plainBytes += count * plainBytes;
  }

  #count(chunk: Uint8Array): Promise<void> {
    this.#storedBytes += chunk.length;
    this.#options.onProgress?.(this.#plainBytes, this.#storedBytes);
    return this.#digest.update(chunk);
  }
}
