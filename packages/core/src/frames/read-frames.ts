import type { ByteSource } from '@gantry/transport';
import { abortable } from '@gantry/transport';
import { FormatProblem, locate, OTHER_FRAME } from './damage.ts';
import type { DecodeJob, DecodeJobs } from './decode-job.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameEntry, FrameTable } from './frame-table.ts';
import type { FramedDump } from './types.ts';

/** Opens a range of a dump's stored bytes. */
export type OpenRange = (offset: number, length: number) => Promise<ByteSource>;

/** A dump with a frame table. */
export interface TabledDump {
  readonly codec: FrameCodec;
  readonly framed: FramedDump;
  readonly table: FrameTable;
  readonly open: OpenRange;
}

/** Zero frames are read and dropped where they take less than this between others: a further request costs more. Bytes. */
const MAX_GAP_BYTES = 1024 * 1024;

/**
 * The frames of a dump, each read from where its frame table says that it is, and compared with what the table says of it. Frames of
 * zeros are not read where they take much. The dump's SHA-256 is not computed: every frame is checked for itself and for its place.
 */
export async function* readFrames(dump: TabledDump, jobs: DecodeJobs, signal: AbortSignal): AsyncGenerator<DecodeJob, void, undefined> {
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

/** Divides a dump into what is read in one go and what need not be read. */
function* runs({ framed, table }: TabledDump): Generator<Run, void, undefined> {
  const plainBytesOf = (first: number, frames: number): number =>
    Math.min(framed.frameSize * frames, framed.plainBytes - first * framed.frameSize);
  let first = 0;
  let start = 0;
  /** Of the frames from `first` on, up to the last with data. */
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

async function* readRun(dump: TabledDump, run: Run, jobs: DecodeJobs, signal: AbortSignal): AsyncGenerator<DecodeJob, void, undefined> {
  const { frameSize, plainBytes: dumpBytes } = dump.framed;
  await using source = await dump.open(run.start, run.end - run.start);
  await using reader = new DumpReader(abortable(source, signal));
  for (let frame = run.first; frame < run.first + run.frames; frame += 1) {
    const entry = dump.table.at(frame);
    if (entry === undefined) throw new RangeError('the run has frames that the table lacks');
    const offset = run.start + reader.offset;
    const plainBytes = Math.min(frameSize, dumpBytes - frame * frameSize);
    if (entry.isZeros) {
      await locate({ frame, offset }, reader.skip(entry.storedBytes));
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

/** @throws FormatProblem where a stored frame is not the one that the table lists */
export async function assertListed(codec: FrameCodec, entry: FrameEntry, stored: Uint8Array, plainBytes: number): Promise<void> {
  codec.inspect(stored, plainBytes);
  if ((await codec.checksum(stored)) !== entry.checksum) throw new FormatProblem(OTHER_FRAME);
}
