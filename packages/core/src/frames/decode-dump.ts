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
import { MAX_FRAME_BYTES } from './types.ts';
import { walkFrames } from './walk-frames.ts';
import { sharedWorkQueue, WorkQueue } from './work-queue.ts';

interface CommonOptions {
  readonly codec: Codec;
  /** How many frames are decompressed at once. If absent, it depends on the machine's processors and is shared with all other dumps. */
  readonly concurrency?: number | undefined;
  /** Shared by all dumps that are written or read at once; if absent, the dump gets its own. */
  readonly budget?: MemoryBudget | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

export interface DecodeOptions extends CommonOptions {
  /** What the manifest says about a dump that Gantry made; undefined for one that the standard tools made. */
  readonly framed: FramedDump | undefined;
  /** If present, every frame is compared with it. */
  readonly table?: FrameTable | undefined;
}

/**
 * Turns a dump back into the plain stream, reading it from its first byte to its last. A frame is yielded only after its checksum was
 * verified, and the iteration ends only after number, sizes and SHA-256 were. Frames of zeros are yielded as holes.
 *
 * A dump that the standard tools made is checked as far as its format allows.
 *
 * Errors of `stored` and the signal's reason are thrown unchanged.
 *
 * @throws GantryError `DUMP_DAMAGED`, with frame and stored offset; `CODEC_UNKNOWN` for a valid dump that cannot be read here
 */
export function decodeDump(stored: AsyncIterable<Uint8Array>, o: DecodeOptions): AsyncIterable<PlainPiece> {
  const { framed, table } = o;
  if (framed === undefined) return decodeForeign(stored, o);
  const codec = codecForReading(o.codec);
  assertPlausible(framed, codec);
  assertChecksums(codec, framed, table);
  const walk = { codec, plan: knownPlan(framed), expected: table };
  return decodeFrames(framed.frameSize, (jobs, signal) => walkFrames(stored, walk, jobs, signal), frameOptions(codec, o));
}

export interface DecodeByTableOptions extends CommonOptions {
  readonly framed: FramedDump;
  readonly table: FrameTable;
}

/**
 * Turns a dump back into the plain stream by its frame table, without reading long runs of zeros. As with {@link decodeDump}, a frame is
 * yielded only after its checksum was verified and found in the table at this place. Only `verify` checks the dump's SHA-256.
 *
 * Errors of `open` and its sources and the signal's reason are thrown unchanged.
 *
 * @throws GantryError `DUMP_DAMAGED`, with frame and stored offset
 */
export function decodeDumpByTable(open: OpenRange, o: DecodeByTableOptions): AsyncIterable<PlainPiece> {
  const { framed, table } = o;
  const codec = codecForReading(o.codec);
  assertPlausible(framed, codec);
  assertFits(codec, framed, table);
  return decodeFrames(framed.frameSize, (jobs, signal) => readFrames({ codec, framed, table, open }, jobs, signal), frameOptions(codec, o));
}

/** The codec for reading: the level only matters for writing. */
export function codecForReading(name: Codec): FrameCodec {
  const { levels, frames } = codecNamed(name);
  return frames(levels?.lowest ?? 0);
}

/** {@link codecForReading} for each of them: one for all that are the same. */
export function codecsForReading(names: readonly Codec[]): readonly FrameCodec[] {
  const known = new Map([...new Set(names)].map((name) => [name, codecForReading(name)]));
  return names.flatMap((name) => known.get(name) ?? []);
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

/** Rejects impossible sizes before any memory is allocated by them. @throws GantryError `DUMP_DAMAGED` */
export function assertPlausible({ frameSize, frames, plainBytes }: FramedDump, { minFrames }: FrameCodec): void {
  const isPossible =
    Number.isInteger(frameSize) && frameSize >= 1 && frameSize <= MAX_FRAME_BYTES && Number.isSafeInteger(plainBytes) && plainBytes >= 0;
  if (!isPossible) throw dumpDamaged(`impossible sizes: frames of ${frameSize} bytes for ${plainBytes} plain bytes`);
  const needed = Math.max(Math.ceil(plainBytes / frameSize), minFrames);
  if (frames !== needed) throw dumpDamaged(`impossible sizes: ${frames} frames, but ${plainBytes} plain bytes make ${needed}`);
}

/** Frames without a checksum of their own need one in the frame table. @throws GantryError `DUMP_DAMAGED` */
function assertChecksums(codec: FrameCodec, { frames }: FramedDump, table: FrameTable | undefined): void {
  if (table === undefined ? codec.storedBound(1) > 0 : table.length === frames) return;
  throw dumpDamaged(`it has ${frames} frames but ${table?.length ?? 0} checksums`);
}

/** @throws GantryError `DUMP_DAMAGED` if the frame table cannot belong to the dump */
export function assertFits(codec: FrameCodec, { frameSize, frames, plainBytes, storedBytes }: FramedDump, table: FrameTable): void {
  if (table.length !== frames) throw dumpDamaged(`it has ${frames} frames, but its frame table lists ${table.length}`);
  const total = table.storedBytes + codec.trailerBytes(frames);
  if (total !== storedBytes) throw dumpDamaged(`it has ${storedBytes} bytes, but the frames in its table add up to ${total}`);
  let frame = 0;
  for (const entry of table) {
    const size = Math.min(frameSize, plainBytes - frame * frameSize);
    const isValid = entry.isZeros
      ? entry.storedBytes === codec.zeroFrame(size).length
      : entry.storedBytes <= Math.max(size, codec.storedBound(size));
    if (!isValid) throw dumpDamaged(`its frame table lists an impossible size for frame ${frame}: ${entry.storedBytes} bytes`);
    frame += 1;
  }
}
