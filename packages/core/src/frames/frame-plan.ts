import { dumpDamaged, FormatProblem } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { StreamDigest } from './stream-digest.ts';
import type { DumpSummary, FramedDump } from './types.ts';
import { assertComplete } from './complete.ts';
import { isSkippableMagic, MAX_FRAME_HEADER_BYTES, parseZstdHeader } from './zstd-format.ts';

/** How a reader knows which frames to expect. Frames are numbered from 0. */
export interface FramePlan {
  readonly frameSize: number;
  /** The maximum number of full frames that can follow the first `frame` frames. */
  fullFramesLeft(frame: number): number;
  /**
   * Plain bytes of the next frame; undefined after the last.
   *
   * @throws FormatProblem
   */
  next(reader: DumpReader, frame: number): Promise<number | undefined>;
  /** Checks the complete dump, after its trailer. @throws GantryError `DUMP_DAMAGED` */
  finish(reader: DumpReader, digest: StreamDigest, found: FrameTotals): Promise<void>;
}

/** Totals of the frames that were read. */
export type FrameTotals = Pick<DumpSummary, 'frames' | 'plainBytes'>;

/** For a dump whose sizes are known before it is read. */
export function knownPlan(dump: FramedDump): FramePlan {
  const { frameSize, frames, plainBytes } = dump;
  return {
    frameSize,
    fullFramesLeft: (frame) => Math.floor(plainBytes / frameSize) - frame,
    next: async (_reader, frame) => (frame < frames ? Math.min(frameSize, plainBytes - frame * frameSize) : undefined),
    finish: (reader, digest) => assertComplete(reader, digest, dump),
  };
}

/** What the writer of a dump says about it when it is finished. */
export type FinishedDump = Pick<DumpSummary, 'frames' | 'plainBytes' | 'storedBytes' | 'sha256'>;

/**
 * For a zstd dump that is read while it is written: each frame declares its size, the seek table marks their end, and the writer
 * provides the rest.
 *
 * @param made called when the trailer has been read; rejects if the writer fails
 */
export function livePlan(frameSize: number, made: () => Promise<FinishedDump>): FramePlan {
  let ended = false;
  return {
    frameSize,
    fullFramesLeft: () => (ended ? 0 : Infinity),
    next: async (reader, frame) => {
      const start = Buffer.from((await reader.peekAtLeast(MAX_FRAME_HEADER_BYTES)).subarray(0, MAX_FRAME_HEADER_BYTES));
      if (start.length < MAX_FRAME_HEADER_BYTES) throw new FormatProblem('it ends early');
      if (isSkippableMagic(start.readUInt32LE(0))) {
        if (frame === 0) throw new FormatProblem('it has no frames');
        return undefined;
      }
      const { contentBytes } = parseZstdHeader(start);
      if (ended) throw new FormatProblem('another frame follows a short one, which must be the last');
      if (contentBytes === undefined || contentBytes > BigInt(frameSize) || (contentBytes === 0n && frame > 0)) {
        const declared = contentBytes === undefined ? 'does not declare its size' : `declares ${contentBytes} plain bytes`;
        throw new FormatProblem(`it ${declared}, expected ${Math.min(frame, 1)} to ${frameSize} plain bytes`);
      }
      const plainBytes = Number(contentBytes);
      ended = plainBytes < frameSize;
      return plainBytes;
    },
    finish: async (reader, digest, found) => {
      const { offset } = reader;
      if (!(await reader.atEnd())) throw dumpDamaged('more data follows its end', { offset });
      const dump = await made();
      if (dump.frames !== found.frames || dump.plainBytes !== found.plainBytes) {
        throw dumpDamaged(
          `size mismatch: got ${found.frames} frames with ${found.plainBytes} plain bytes, expected ${dump.frames} with ${dump.plainBytes}`,
        );
      }
      await assertComplete(reader, digest, { ...dump, frameSize });
    },
  };
}
