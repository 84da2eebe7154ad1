import type { ByteSource } from '@gantry/transport';
import { abortable } from '@gantry/transport';
import { atPlace, FormatProblem, WRONG_FRAME } from './damage.ts';
import type { DecodeJob, DecodeJobs } from './decode-job.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameEntry, FrameTable } from './frame-table.ts';
import type { FramedDump } from './types.ts';

/** Opens a range of a dump's stored bytes. */
export type OpenRange = (offset: number, length: number) => Promise<ByteSource>;

/** A dump with a frame table. */
export interface DumpWithTable {
  readonly codec: FrameCodec;
  readonly framed: FramedDump;
  readonly table: FrameTable;
  readonly open: OpenRange;
}

/** Frames of up to this size that are not needed between others are read and dropped: another request would cost more. */
export const MAX_GAP_BYTES: number = 1024 * 1024;

/**
 * The frames of a dump, each read from its place in the frame table and compared with its entry there. Long runs of zero frames are not
 * read. The dump's SHA-256 is not computed: every frame and its place are checked individually.
 */
export async function* readFrames(dump: DumpWithTable, jobs: DecodeJobs, signal: AbortSignal): AsyncGenerator<DecodeJob, void, undefined> {
  for (const run of runs(dump)) {
    if (run.kind === 'zeros') yield { zeros: run.plainBytes, storedEnd: run.end };
    else yield* readRun(dump, run, jobs, signal);
  }
}

interface Run {
  readonly kind: 'zeros' | 'data';
  /** Index of its first frame. */
  readonly first: number;
  readonly frames: number;
  readonly plainBytes: number;
  /** Stored bytes. */
  readonly start: number;
  readonly end: number;
}

/** Divides a dump into ranges that are read in one request and ranges that need not be read. */
function* runs({ framed, table }: DumpWithTable): Generator<Run, void, undefined> {
  const plainBytesOf = (first: number, frames: number): number =>
    Math.min(framed.frameSize * frames, framed.plainBytes - first * framed.frameSize);
  let first = 0;
  let start = 0;
  /** The frames from `first` up to the last one with data. */
  let data = { frames: 0, end: 0 };
  let frames = 0;
  let end = 0;
  const dataRun = (): Run => ({ kind: 'data', first, plainBytes: plainBytesOf(first, data.frames), start, ...data });
  const zeroRun = (): Run => {
    const from = first + data.frames;
    const count = frames - data.frames;
    return { kind: 'zeros', first: from, frames: count, plainBytes: plainBytesOf(from, count), start: data.end, end };
  };
  for (const { storedBytes, isZeros } of table) {
    if (!isZeros && data.frames < frames && (data.frames === 0 || end - data.end > MAX_GAP_BYTES)) {
      if (data.frames > 0) yield dataRun();
      yield zeroRun();
      first += frames;
      start = end;
      frames = 0;
      data = { frames: 0, end };
    }
    frames += 1;
    end += storedBytes;
    if (!isZeros) data = { frames, end };
  }
  if (data.frames > 0) yield dataRun();
  if (data.frames < frames) yield zeroRun();
}

async function* readRun(dump: DumpWithTable, run: Run, jobs: DecodeJobs, signal: AbortSignal): AsyncGenerator<DecodeJob, void, undefined> {
  const { frameSize, plainBytes: dumpBytes } = dump.framed;
  await using source = await dump.open(run.start, run.end - run.start);
  await using reader = new DumpReader(abortable(source, signal));
  for (let frame = run.first; frame < run.first + run.frames; frame += 1) {
    const entry = dump.table.at(frame);
    if (entry === undefined) throw new RangeError('the frame table ends before the run');
    const offset = run.start + reader.offset;
    const plainBytes = Math.min(frameSize, dumpBytes - frame * frameSize);
    if (entry.isZeros) {
      await atPlace({ frame, offset }, reader.skip(entry.storedBytes));
      yield { zeros: plainBytes, storedEnd: run.start + reader.offset };
      continue;
    }
    const read = async (output: Uint8Array): Promise<Uint8Array> => {
      const stored = output.subarray(0, entry.storedBytes);
      await reader.fill(stored);
      return stored;
    };
    const job = await jobs.start({ frame, offset, plainBytes }, read, (stored) => assertListed(dump.codec, entry, stored, plainBytes));
    yield { ...job, storedEnd: run.start + reader.offset };
  }
}

/** @throws FormatProblem if a stored frame is not the one that the table lists */
export async function assertListed(codec: FrameCodec, entry: FrameEntry, stored: Uint8Array, plainBytes: number): Promise<void> {
  codec.inspect(stored, plainBytes);
  if ((await codec.checksum(stored)) !== entry.checksum) throw new FormatProblem(WRONG_FRAME);
}
