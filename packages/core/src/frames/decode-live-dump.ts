import { decodeFrames } from './decode-frames.ts';
import type { FinishedDump } from './frame-plan.ts';
import { livePlan } from './frame-plan.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { DumpProgress, PlainPiece } from './types.ts';
import { FRAME_SIZE } from './types.ts';
import { sharedWorkQueue } from './work-queue.ts';
import { walkFrames } from './walk-frames.ts';
import { zstdCodec } from './zstd-codec.ts';

export interface DecodeLiveOptions {
  /** What the writer of the dump says about it; called at the end. */
  readonly made: () => Promise<FinishedDump>;
  /** Shared by all dumps that are read at once. */
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

/**
 * Turns a zstd dump with frames of {@link FRAME_SIZE} back into the plain stream while it is still being written. As with `decodeDump`, a
 * frame is yielded only after its checksum was verified, and the iteration ends only after number, sizes and SHA-256 were compared with
 * what the writer says.
 *
 * @throws GantryError `DUMP_DAMAGED`; errors of `stored` and `made`; the signal's reason
 */
export function decodeLiveDump(stored: AsyncIterable<Uint8Array>, o: DecodeLiveOptions): AsyncIterable<PlainPiece> {
  // The level only matters for writing.
  const codec = zstdCodec(1);
  const walk = { codec, plan: livePlan(FRAME_SIZE, o.made) };
  return decodeFrames(FRAME_SIZE, (jobs, signal) => walkFrames(stored, walk, jobs, signal), {
    codec,
    work: sharedWorkQueue(),
    budget: o.budget,
    signal: o.signal,
    onProgress: o.onProgress,
  });
}
