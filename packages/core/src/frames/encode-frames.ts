import type { DumpFailure } from './encode-dump.ts';
import type { FrameCodec } from './frame-codec.ts';
import { assertMapHasSpace, FrameMap } from './frame-map.ts';
import type { FrameStages, PipelineOptions, PlacedFrame } from './frame-pipeline.ts';
import { throughFrames } from './frame-pipeline.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import type { ZeroFrames } from './framer.ts';
import { framesOfTable } from './listed-frames.ts';
import { sha256OnThread } from '../system/sha256.ts';
import { StreamDigest } from './stream-digest.ts';
import { tooManyFrames } from './pack-output.ts';
import type { PlainReader } from './plain-reader.ts';
import type { DumpProgress, DumpSummary } from './types.ts';

export interface EncodeFramesOptions extends PipelineOptions {
  readonly codec: FrameCodec;
  /** Whether the data of each frame is digested for a frame map. */
  readonly withMap: boolean;
  /** Whether the stored bytes are digested, and there is a frame table. */
  readonly withDigest: boolean;
  readonly maxMapEntries: number;
  readonly endOnFailure: boolean;
  readonly onProgress: DumpProgress | undefined;
}

/** The parts of a dump's summary that depend on its data. */
export interface EncodedFrames {
  readonly totals: Omit<DumpSummary, 'codec' | 'level' | 'frameSize'>;
  readonly table: FrameTable;
  readonly map: FrameMap | undefined;
  readonly failure: DumpFailure | undefined;
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
  const stages: FrameStages<StoredFrame> = {
    make: (frame, turn) => turn(() => compress(frame, o)),
    take: (stored, { plain }) => ({ bytes: stored.bytes, digested: output.frame(stored, plain.length) }),
    zeros: (zeros) => output.zeroFrames(zeros),
  };
  let failure: DumpFailure | undefined;
  try {
    yield* throughFrames(source, stages, o);
  } catch (error) {
    if (!o.endOnFailure) throw error;
    failure = { error };
  }
  if (output.frames < o.codec.minFrames) yield* output.zeroFrames({ count: 1, plainBytes: 0 });
  yield* output.trailer();
  return { ...(await output.finish()), failure };
}

async function compress({ plain, output }: PlacedFrame, { codec, withMap, withDigest }: EncodeFramesOptions): Promise<StoredFrame> {
  const plainSha256 = withMap ? await sha256OnThread(plain) : undefined;
  const bytes = await codec.compress(plain, output);
  // What is encrypted has no frame table, where they would be; but some codecs end with one of their own.
  const checksum = withDigest || codec.trailerBytes(1) > 0 ? await codec.checksum(bytes) : 0;
  return { bytes, checksum, plainSha256 };
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
    if (plainSha256 !== undefined && this.#map !== undefined) {
      assertMapHasSpace(this.#map, this.#options.maxMapEntries);
      this.#map.push({ kind: 'frame', plainBytes, sha256: plainSha256, place });
    }
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

  async finish(): Promise<Omit<EncodedFrames, 'failure'>> {
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
    return this.#options.withDigest ? this.#digest.update(chunk) : Promise.resolve();
  }
}
