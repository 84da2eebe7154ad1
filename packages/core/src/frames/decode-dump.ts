import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import { dumpDamaged } from './damage.ts';
import { decodeForeign } from './decode-foreign.ts';
import { decodeFrames } from './decode-frames.ts';
import type { DecodeFramesOptions } from './decode-job.ts';
import { DEFAULT_BUDGET_BYTES } from './encode-dump.ts';
import type { FrameCodec } from './frame-codec.ts';
import { knownPlan } from './frame-plan.ts';
import type { FrameTable } from './frame-table.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { OpenRange } from './read-frames.ts';
import { readFrames } from './read-frames.ts';
import type { DumpProgress, FramedDump, PlainPiece } from './types.ts';
import { MAX_FRAME_SIZE } from './types.ts';
import { walkFrames } from './walk-frames.ts';
import { sharedWorkQueue, WorkQueue } from './work-queue.ts';

interface CommonOptions {
  readonly codec: Codec;
  /** How many frames are decompressed at once; shared with all other dumps, and by the machine's processors, where absent. */
  readonly concurrency?: number | undefined;
  /** Shared by all dumps that are made or read at once; one of its own where absent. */
  readonly budget?: MemoryBudget | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

export interface DecodeOptions extends CommonOptions {
  /** What is known of a dump that Gantry made; undefined for one that the ordinary tools made. */
  readonly framed: FramedDump | undefined;
  /** Where there is one, every frame is compared with it. */
  readonly table?: FrameTable | undefined;
}

/**
 * Turns a dump back into the plain stream, from its first byte to its last. What is known of the dump is checked: no byte of a frame is
 * handed on before the frame's own checksum was right, and the iteration does not end before number, sizes and SHA-256 were. Frames of
 * zeros come as holes.
 *
 * A dump that the ordinary tools made is checked as far as its format goes.
 *
 * Throws what `stored` throws, as it is, and the reason of the signal.
 *
 * @throws GantryError `DUMP_DAMAGED`, with frame and stored offset; `CODEC_UNKNOWN` for what is sound and cannot be read here
 */
export function decodeDump(stored: AsyncIterable<Uint8Array>, o: DecodeOptions): AsyncIterable<PlainPiece> {
  const { framed, table } = o;
  if (framed === undefined) return decodeForeign(stored, o);
  const codec = readerOf(o.codec);
  assertPlausible(framed, codec);
  assertChecksums(codec, framed, table);
  const walk = { codec, plan: knownPlan(framed), expected: table };
  return decodeFrames(framed.frameSize, (jobs, signal) => walkFrames(stored, walk, jobs, signal), frameOptions(codec, o));
}

export interface DecodeTabledOptions extends CommonOptions {
  readonly framed: FramedDump;
  readonly table: FrameTable;
}

/**
 * Turns a dump back into the plain stream by its frame table, without reading what holds only zeros. As with {@link decodeDump}, no
 * byte of a frame is handed on before the frame's own checksum was right and the table had that frame for that place; the dump's
 * SHA-256 is left to `verify`.
 *
 * Throws what `open` and its sources throw, as it is, and the reason of the signal.
 *
 * @throws GantryError `DUMP_DAMAGED`, with frame and stored offset
 */
export function decodeTabledDump(open: OpenRange, o: DecodeTabledOptions): AsyncIterable<PlainPiece> {
  const { framed, table } = o;
  const codec = readerOf(o.codec);
  assertPlausible(framed, codec);
  assertFits(codec, framed, table);
  return decodeFrames(framed.frameSize, (jobs, signal) => readFrames({ codec, framed, table, open }, jobs, signal), frameOptions(codec, o));
}

/** The level matters to a writer alone. */
export function readerOf(name: Codec): FrameCodec {
  const { levels, frames } = codecNamed(name);
  return frames(levels?.lowest ?? 0);
}

function frameOptions(codec: FrameCodec, o: CommonOptions): DecodeFramesOptions {
  return {
    codec,
    work: o.concurrency === undefined ? sharedWorkQueue() : new WorkQueue(o.concurrency),
    budget: o.budget ?? new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal: o.signal,
    onProgress: o.onProgress,
  };
}

/** What follows relies on it, and takes memory by it. */
export function assertPlausible({ frameSize, frames, plainBytes }: FramedDump, { minFrames }: FrameCodec): void {
  const sizes =
    Number.isInteger(frameSize) && frameSize >= 1 && frameSize <= MAX_FRAME_SIZE && Number.isSafeInteger(plainBytes) && plainBytes >= 0;
  if (!sizes) throw dumpDamaged(`frames of ${frameSize} bytes for ${plainBytes} bytes cannot be`);
  const needed = Math.max(Math.ceil(plainBytes / frameSize), minFrames);
  if (frames !== needed) throw dumpDamaged(`it should have ${frames} frames, and ${plainBytes} bytes make ${needed}`);
}

/** Frames without a checksum of their own are handed on only if a table has one. */
function assertChecksums(codec: FrameCodec, { frames }: FramedDump, table: FrameTable | undefined): void {
  if (table === undefined ? codec.storedBound(1) > 0 : table.length === frames) return;
  throw dumpDamaged(`it has ${frames} frames and ${table?.length ?? 0} checksums`);
}

/** @throws GantryError `DUMP_DAMAGED` where a frame table cannot be that of the dump */
export function assertFits(codec: FrameCodec, { frameSize, frames, plainBytes, storedBytes }: FramedDump, table: FrameTable): void {
  if (table.length !== frames) throw dumpDamaged(`it has ${frames} frames, and its frame table ${table.length}`);
  const total = table.storedBytes + codec.trailerBytes(frames);
  if (total !== storedBytes) throw dumpDamaged(`it has ${storedBytes} bytes, and the frames of its table make ${total}`);
  let frame = 0;
  for (const entry of table) {
    const size = Math.min(frameSize, plainBytes - frame * frameSize);
    const isRight = entry.isZeros
      ? entry.storedBytes === codec.zeroFrame(size).length
      : entry.storedBytes <= Math.max(size, codec.storedBound(size));
    if (!isRight) throw dumpDamaged(`its frame table says that frame ${frame} takes ${entry.storedBytes} bytes`);
    frame += 1;
  }
}
