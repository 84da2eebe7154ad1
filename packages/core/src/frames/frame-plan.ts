import { dumpDamaged, FormatProblem } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { StreamDigest } from './stream-digest.ts';
import type { DumpSummary, FramedDump } from './types.ts';
import { assertWhole } from './complete.ts';
import { isSkippableMagic, LONGEST_FRAME_HEADER, parseZstdHeader } from './zstd-format.ts';

/** What a reader of frames goes by. A frame is counted from 0. */
export interface FramePlan {
  readonly frameSize: number;
  /** How many full frames can still come after `frame` frames, at most. */
  fullFramesLeft(frame: number): number;
  /**
   * Plain bytes of the next frame; undefined when there is none.
   *
   * @throws FormatProblem
   */
  next(reader: DumpReader, frame: number): Promise<number | undefined>;
  /** Checks the dump as a whole, behind its trailer. @throws GantryError `DUMP_DAMAGED` */
  finish(reader: DumpReader, digest: StreamDigest, found: FrameTotals): Promise<void>;
}

/** What the frames that were read come to. */
export type FrameTotals = Pick<DumpSummary, 'frames' | 'plainBytes'>;

/** For a dump of which everything is known before it is read. */
export function knownPlan(dump: FramedDump): FramePlan {
  const { frameSize, frames, plainBytes } = dump;
  return {
    frameSize,
    fullFramesLeft: (frame) => Math.floor(plainBytes / frameSize) - frame,
    next: async (_reader, frame) => (frame < frames ? Math.min(frameSize, plainBytes - frame * frameSize) : undefined),
    finish: (reader, digest) => assertWhole(reader, digest, dump),
  };
}

/** What the maker of a dump says of it when it has made it. */
export type MadeDump = Pick<DumpSummary, 'frames' | 'plainBytes' | 'storedBytes' | 'sha256'>;

/**
 * For a zstd dump that is read while it is made: each frame says how long it is, the seek table where they end, and its maker the
 * rest.
 *
 * @param made asked for when the trailer has been read; rejects when the maker fails
 */
export function livePlan(frameSize: number, made: () => Promise<MadeDump>): FramePlan {
  let ended = false;
  return {
    frameSize,
    fullFramesLeft: () => (ended ? 0 : Infinity),
    next: async (reader, frame) => {
      const start = Buffer.from((await reader.ahead(LONGEST_FRAME_HEADER)).subarray(0, LONGEST_FRAME_HEADER));
      if (start.length < LONGEST_FRAME_HEADER) throw new FormatProblem('it is cut off');
      if (isSkippableMagic(start.readUInt32LE(0))) {
        if (frame === 0) throw new FormatProblem('it has no frame');
        return undefined;
      }
      const { contentBytes } = parseZstdHeader(start);
      if (ended) throw new FormatProblem('it goes on behind its last frame');
      if (contentBytes === undefined || contentBytes > BigInt(frameSize) || (contentBytes === 0n && frame > 0)) {
        throw new FormatProblem(`its size is said to be ${contentBytes ?? 'unknown'} bytes, in frames of ${frameSize}`);
      }
      const plainBytes = Number(contentBytes);
      ended = plainBytes < frameSize;
      return plainBytes;
    },
    finish: async (reader, digest, found) => {
      const { offset } = reader;
      if (!(await reader.atEnd())) throw dumpDamaged('it goes on where its end should be', { offset });
      const dump = await made();
      if (dump.frames !== found.frames || dump.plainBytes !== found.plainBytes) {
        throw dumpDamaged(
          `it has ${found.frames} frames with ${found.plainBytes} bytes and should have ${dump.frames} with ${dump.plainBytes}`,
        );
      }
      await assertWhole(reader, digest, { ...dump, frameSize });
    },
  };
}
