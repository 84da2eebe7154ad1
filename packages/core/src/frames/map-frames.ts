import type { FrameInMap, PatchInMap, PlacedEntry, ZerosInMap } from './frame-map.ts';
import type { BudgetShare } from './memory-budget.ts';
import type { IndexedEntry, OpenPackRange } from './pack-runs.ts';
import { PackRuns, placesOf } from './pack-runs.ts';
import { sum } from '../system/sum.ts';

/** A frame whose stored bytes are being read. */
export interface FetchedFrame {
  readonly index: number;
  readonly entry: PlacedEntry & (FrameInMap | PatchInMap);
  /** From the budget: holds everything below. */
  readonly buffer: Uint8Array;
  /** Memory for what is made of the frame; as much as was asked for. */
  readonly room: Uint8Array;
  /** Filled when `read` resolves. */
  readonly stored: Uint8Array;
  /** The stored bytes of the frame from which a patch differs; empty for another frame. */
  readonly base: Uint8Array;
  readonly read: Promise<void>;
}

/** A run of zeros, which needs no memory. */
export interface FetchedZeros {
  readonly index: number;
  readonly entry: PlacedEntry & ZerosInMap;
}

export interface FetchOptions {
  readonly open: OpenPackRange;
  readonly memory: BudgetShare;
  /** Bytes of memory that the caller needs for a frame. */
  readonly room?: (entry: FetchedFrame['entry']) => number;
}

/**
 * Starts to read the frames of a map, in their order: each as soon as there is memory for it, and those of several requests at once. The
 * buffers belong to the caller, who must wait for `read` before releasing one.
 */
export async function* fetchFrames(
  entries: Iterable<IndexedEntry>,
  { open, memory, room = () => 0 }: FetchOptions,
  signal: AbortSignal,
): AsyncGenerator<FetchedFrame | FetchedZeros, void, undefined> {
  await using runs = new PackRuns(entries, open, signal);
  for (let next = runs.next(); next !== undefined; next = runs.next()) {
    const { index, entry, reads } = next;
    if (entry.kind === 'zeros') {
      yield { index, entry };
      continue;
    }
    const sizes = [room(entry), ...placesOf(entry).map(({ storedBytes }) => storedBytes)];
    const buffer = await memory.acquire(bufferSize(sum(sizes)), signal);
    const [space = buffer, ...outputs] = divide(buffer, sizes);
    const read = readAll(reads.map((read, place) => read(outputs[place] ?? space)));
    // A failure is handled when its turn comes.
    read.catch(() => undefined);
    const [stored = space, base = space.subarray(0, 0)] = outputs;
    yield { index, entry, buffer, room: space, stored, base, read };
  }
}

/** Rejects only when nothing writes to the memory any more. */
async function readAll(reads: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(reads);
  await Promise.all(reads);
}

const MIN_BUFFER_BYTES = 64 * 1024;

/** Rounded up to one of a few sizes, so that the budget can use the buffers again. */
export function bufferSize(bytes: number): number {
  const step = Math.max(MIN_BUFFER_BYTES, 2 ** (Math.floor(Math.log2(Math.max(1, bytes))) - 2));
  return Math.ceil(Math.max(1, bytes) / step) * step;
}

/** One part after another. @param sizes bytes; together at most those of the buffer */
export function divide(buffer: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  let at = 0;
  return sizes.map((size) => buffer.subarray(at, (at += size)));
}
