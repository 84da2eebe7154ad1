import { GantryError } from '../report/errors.ts';
import { chooseLevel } from './codecs/levels.ts';
import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import type { EncodedFrames } from './encode-frames.ts';
import { encodeFrames } from './encode-frames.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameMap } from './frame-map.ts';
import { MAX_MADE_ENTRIES } from './frame-map.ts';
import type { FrameTable } from './frame-table.ts';
import type { PipelineOptions } from './frame-pipeline.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { PlainReader } from './plain-reader.ts';
import type { DumpProgress, DumpSummary } from './types.ts';
import { FRAME_SIZE, MAX_FRAME_BYTES } from './types.ts';
import { sharedWorkQueue, WorkQueue } from './work-queue.ts';

export interface EncodeOptions {
  readonly codec: Codec;
  /** If absent, the codec's default. */
  readonly level?: number | undefined;
  /** Plain bytes of a frame; {@link FRAME_SIZE} if absent. */
  readonly frameSize?: number | undefined;
  /** How many frames are compressed at once. If absent, it depends on the machine's processors and is shared with all other dumps. */
  readonly concurrency?: number | undefined;
  /** Shared by all dumps that are written or read at once; if absent, the dump gets its own. */
  readonly budget?: MemoryBudget | undefined;
  /** Makes the frame map too, for which the data of every frame is digested. */
  readonly withMap?: boolean | undefined;
  /**
   * Without it, there is no frame table, the digest of the stored bytes is left out, and the summary has that of no bytes: for dumps that are
   * encrypted afterwards.
   */
  readonly withDigest?: boolean | undefined;
  /** The most entries of the frame map; {@link MAX_MADE_ENTRIES} if absent. */
  readonly maxMapEntries?: number | undefined;
  /** If its source fails, or the signal is aborted, the dump ends with the frames that it has, instead of failing: see `EncodedDump.failure`. */
  readonly endOnFailure?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

export interface EncodedDump {
  /** The bytes of the dump; can be iterated once. A chunk is valid until the next one is requested. */
  readonly stored: AsyncIterable<Uint8Array>;
  /** Sizes and digest of the dump; available after the end of `stored`. */
  summary(): DumpSummary;
  /**
   * Where each of its frames is; available after the end of `stored`. Undefined for a dump that is not complete by itself: a pack.
   */
  table(): FrameTable | undefined;
  /**
   * Where each frame of the disk is, in this dump and in others; available after the end of `stored`. The packs of others have the first
   * numbers, in the order in which the encoder got them, and this dump has the number after them. Undefined where no map was asked for.
   */
  map(): FrameMap | undefined;
  /** With `endOnFailure`, why it ended early; available after the end of `stored`. Then it has a part of the disk, from the start. */
  failure?(): DumpFailure | undefined;
}

export interface DumpFailure {
  readonly error: unknown;
}

/** A dump that is complete by itself. */
export interface CompleteDump extends EncodedDump {
  table(): FrameTable;
}

/**
 * Turns a plain stream into a dump (docs/reference/formats/dumps.md). Memory use does not depend on the
 * stream's size, and the source is read only as fast as the dump is consumed.
 *
 * `stored` throws the errors of `source` and the signal's reason.
 *
 * @throws GantryError `USAGE` for an invalid level or frame size
 */
export function encodeDump(source: PlainReader, o: EncodeOptions): CompleteDump {
  const level = chooseLevel(o.codec, o.level);
  const codec = codecNamed(o.codec).frames(level ?? 0);
  const options = pipelineOptions(codec, o);
  const { frameSize } = options;
  let encoded: EncodedFrames | undefined;
  const { withMap = false, withDigest = true, maxMapEntries = MAX_MADE_ENTRIES, endOnFailure = false, onProgress } = o;
  const frames = encodeFrames(source, { ...options, codec, withMap, withDigest, maxMapEntries, endOnFailure, onProgress });
  const stored = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    encoded = yield* frames;
  };
  const atEnd = (): EncodedFrames => {
    if (encoded === undefined) throw new Error('the summary of a dump was requested before its end');
    return encoded;
  };
  return {
    stored: stored(),
    summary: () => ({ codec: o.codec, ...(level === undefined ? {} : { level }), frameSize, ...atEnd().totals }),
    table() {
      if (!withDigest) throw new TypeError('a dump that is to be encrypted has no frame table');
      return atEnd().table;
    },
    map: () => atEnd().map,
    failure: () => atEnd().failure,
  };
}

/** How frames come to an encoder. @throws GantryError `USAGE` for an invalid frame size */
export function pipelineOptions(codec: FrameCodec, o: Omit<EncodeOptions, 'codec' | 'level' | 'onProgress'>): PipelineOptions {
  const frameSize = checkFrameSize(o.frameSize ?? FRAME_SIZE);
  return {
    frameSize,
    byContent: false,
    outputBytes: codec.storedBound(frameSize),
    work: o.concurrency === undefined ? sharedWorkQueue() : new WorkQueue(o.concurrency),
    budget: o.budget ?? new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal: o.signal,
  };
}

/** For a dump that does not share its budget with others. */
export const DEFAULT_BUDGET_BYTES: number = 128 * 1024 * 1024;

function checkFrameSize(bytes: number): number {
  if (Number.isInteger(bytes) && bytes >= 1 && bytes <= MAX_FRAME_BYTES) return bytes;
  throw new GantryError('USAGE', {
    message: `invalid frame size: ${bytes} bytes`,
    hint: `Give a whole number of bytes from 1 to ${MAX_FRAME_BYTES}.`,
  });
}
