import { abortable } from '../system/abortable.ts';
import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import { dumpDamaged } from './damage.ts';
import { decodeForeign } from './decode-foreign.ts';
import { decodeFrames } from './decode-frames.ts';
import { decodePlain } from './decode-plain.ts';
import { DEFAULT_BUDGET_BYTES } from './encode-dump.ts';
import { knownPlan } from './frame-plan.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { DumpProgress, FramedDump, PlainPiece } from './types.ts';
import { sharedWorkQueue, WorkQueue } from './work-queue.ts';
import { MAX_FRAME_SIZE } from './types.ts';

export interface DecodeOptions {
  readonly codec: Codec;
  /** What is known of a dump that Gantry made; undefined for one that the ordinary tools made. */
  readonly framed: FramedDump | undefined;
  /** How many frames are decompressed at once; shared with all other dumps, and by the machine's processors, where absent. */
  readonly concurrency?: number | undefined;
  /** Shared by all dumps that are made or read at once; one of its own where absent. */
  readonly budget?: MemoryBudget | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

/**
 * Turns a dump back into the plain stream, to be pulled once. What is known of the dump is checked: no byte of a frame is
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
  if (o.framed === undefined) return decodeForeign(stored, o);
  const { compression } = codecNamed(o.codec);
  assertPlausible(o.framed, compression === undefined ? 0 : 1);
  if (compression === undefined) return decodePlain(abortable(stored, o.signal), o.framed, o);
  return decodeFrames(stored, knownPlan(o.framed), {
    // The level matters to a writer alone.
    codec: compression.frames(compression.levels.lowest),
    work: o.concurrency === undefined ? sharedWorkQueue() : new WorkQueue(o.concurrency),
    budget: o.budget ?? new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal: o.signal,
    onProgress: o.onProgress,
  });
}

/** What follows relies on it, and takes memory by it. */
function assertPlausible({ frameSize, frames, plainBytes }: FramedDump, fewestFrames: number): void {
  const sizes =
    Number.isInteger(frameSize) && frameSize >= 1 && frameSize <= MAX_FRAME_SIZE && Number.isSafeInteger(plainBytes) && plainBytes >= 0;
  if (!sizes) throw dumpDamaged(`frames of ${frameSize} bytes for ${plainBytes} bytes cannot be`);
  const needed = Math.max(Math.ceil(plainBytes / frameSize), fewestFrames);
  if (frames !== needed) throw dumpDamaged(`it should have ${frames} frames, and ${plainBytes} bytes make ${needed}`);
}
