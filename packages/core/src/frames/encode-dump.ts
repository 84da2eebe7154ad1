import { GantryError } from '../report/errors.ts';
import { chooseLevel } from './codecs/levels.ts';
import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import type { EncodedFrames } from './encode-frames.ts';
import { encodeFrames } from './encode-frames.ts';
import type { FrameTable } from './frame-table.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { PlainReader } from './plain-reader.ts';
import type { DumpProgress, DumpSummary } from './types.ts';
import { FRAME_SIZE, MAX_FRAME_SIZE } from './types.ts';
import { sharedWorkQueue, WorkQueue } from './work-queue.ts';

export interface EncodeOptions {
  readonly codec: Codec;
  /** The codec's usual one where absent. */
  readonly level?: number | undefined;
  /** Plain bytes of a frame; {@link FRAME_SIZE} where absent. */
  readonly frameSize?: number | undefined;
  /** How many frames are compressed at once; shared with all other dumps, and by the machine's processors, where absent. */
  readonly concurrency?: number | undefined;
  /** Shared by all dumps that are made or read at once; one of its own where absent. */
  readonly budget?: MemoryBudget | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

export interface EncodedDump {
  /** The dump, to be pulled once. A chunk belongs to the taker until it asks for the next. */
  readonly stored: AsyncIterable<Uint8Array>;
  /** What it comes to; only after the end of `stored`. */
  summary(): DumpSummary;
  /** Where each frame of it is; only after the end of `stored`. */
  table(): FrameTable;
}

/**
 * Turns a plain stream into a dump (docs/reference/formats/dumps.md). Memory is bounded, whatever the stream's size; the taker of
 * the dump sets the pace.
 *
 * `stored` throws what `source` throws, or the reason of the signal.
 *
 * @throws GantryError `USAGE` for a level or frame size that the codec does not have
 */
export function encodeDump(source: PlainReader, o: EncodeOptions): EncodedDump {
  const level = chooseLevel(o.codec, o.level);
  const frameSize = checkFrameSize(o.frameSize ?? FRAME_SIZE);
  let made: EncodedFrames | undefined;
  const frames = encodeFrames(source, {
    frameSize,
    codec: codecNamed(o.codec).frames(level ?? 0),
    work: o.concurrency === undefined ? sharedWorkQueue() : new WorkQueue(o.concurrency),
    budget: o.budget ?? new MemoryBudget(DEFAULT_BUDGET_BYTES),
    signal: o.signal,
    onProgress: o.onProgress,
  });
  const stored = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    made = yield* frames;
  };
  const atEnd = (): EncodedFrames => {
    if (made === undefined) throw new Error('asked what a dump comes to before its end');
    return made;
  };
  return {
    stored: stored(),
    summary: () => ({ codec: o.codec, ...(level === undefined ? {} : { level }), frameSize, ...atEnd().totals }),
    table: () => atEnd().table,
  };
}

/** For a dump that shares its budget with no other. */
export const DEFAULT_BUDGET_BYTES: number = 128 * 1024 * 1024;

function checkFrameSize(bytes: number): number {
  if (Number.isInteger(bytes) && bytes >= 1 && bytes <= MAX_FRAME_SIZE) return bytes;
  throw new GantryError('USAGE', {
    message: `a frame cannot have ${bytes} bytes`,
    hint: `Give a whole number of bytes, at most ${MAX_FRAME_SIZE}.`,
  });
}
