import { orAbort } from './abortable.ts';
import { FormatProblem, locate } from './damage.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { readAhead } from './read-ahead.ts';
import type { DumpProgress, FramedDump, PlainPiece } from './types.ts';
import { Uint32List } from './uint32-list.ts';
import { assertWhole } from './whole.ts';
import type { WorkQueue } from './work-queue.ts';
import { isZero } from './zeros.ts';

export interface DecodeFramesOptions {
  readonly codec: FrameCodec;
  readonly work: WorkQueue;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

type Job = ZeroJob | DecompressJob;

interface ZeroJob {
  readonly zeros: number;
  /** Stored bytes up to its end. */
  readonly storedEnd: number;
}

interface DecompressJob {
  readonly buffer: Uint8Array;
  readonly plain: Promise<Uint8Array>;
  readonly storedEnd: number;
}

/** Frames that wait for a processor or for their turn to go out, so that neither has to wait for the other. */
const FRAMES_AHEAD = 2;

/** The plain stream of a dump whose codec has frames. */
export async function* decodeFrames(
  stored: AsyncIterable<Uint8Array>,
  dump: FramedDump,
  o: DecodeFramesOptions,
): AsyncGenerator<PlainPiece, void, undefined> {
  using _contexts = o.codec.use();
  const memory = o.budget.share();
  const drop = (job: Job): void => void ('plain' in job && release(job, memory));
  let plainBytes = 0;
  for await (const job of readAhead(
    (signal) => decompressJobs(stored, dump, memory, o, signal),
    o.work.limit + FRAMES_AHEAD,
    o.signal,
    drop,
  )) {
    if ('zeros' in job) {
      plainBytes += job.zeros;
      o.onProgress?.(plainBytes, job.storedEnd);
      yield { zeros: job.zeros };
      continue;
    }
    try {
      const plain = await orAbort(job.plain, o.signal);
      plainBytes += plain.length;
      o.onProgress?.(plainBytes, job.storedEnd);
      yield isZero(plain) ? { zeros: plain.length } : plain;
    } finally {
      release(job, memory);
    }
  }
}

/** Starts to decompress each frame as soon as it is there; at the end, checks the dump as a whole. */
async function* decompressJobs(
  stored: AsyncIterable<Uint8Array>,
  dump: FramedDump,
  memory: BudgetShare,
  { codec, work }: DecodeFramesOptions,
  signal: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  using reader = new DumpReader(stored);
  const storedSizes = new Uint32List();
  const storedRoom = codec.storedBound(dump.frameSize);
  const zeroFrame = codec.zeroFrame(dump.frameSize);
  while (storedSizes.length < dump.frames) {
    const frame = storedSizes.length;
    const offset = reader.offset;
    const zeroFrames = reader.skipRepeated(zeroFrame, Math.floor(dump.plainBytes / dump.frameSize) - frame);
    if (zeroFrames > 0) {
      for (let count = 0; count < zeroFrames; count += 1) storedSizes.push(zeroFrame.length);
      yield { zeros: zeroFrames * dump.frameSize, storedEnd: reader.offset };
      continue;
    }
    const buffer = await memory.take(dump.frameSize + storedRoom, signal);
    const plainBytes = Math.min(dump.frameSize, dump.plainBytes - frame * dump.frameSize);
    let bytes: Uint8Array;
    try {
      bytes = await locate({ frame, offset }, codec.read(reader, plainBytes, buffer.subarray(dump.frameSize)));
    } catch (error) {
      memory.giveBack(buffer);
      throw error;
    }
    storedSizes.push(bytes.length);
    const plain = locate(
      { frame, offset },
      work.run(signal, () => decompress(codec, bytes, buffer.subarray(0, plainBytes))),
    );
    // It is heard when its turn comes.
    plain.catch(() => undefined);
    yield { buffer, plain, storedEnd: reader.offset };
  }
  await locate({ offset: reader.offset }, codec.readTrailer(reader, dump.frameSize, dump.plainBytes, storedSizes));
  await assertWhole(reader, dump);
}

async function decompress(codec: FrameCodec, stored: Uint8Array, room: Uint8Array): Promise<Uint8Array> {
  let plain: Uint8Array;
  try {
    plain = await codec.decompress(stored, room);
  } catch (error) {
    throw new FormatProblem(`it cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (plain.length !== room.length) throw new FormatProblem(`it has ${plain.length} bytes and should have ${room.length}`);
  return plain;
}

function release({ buffer, plain }: DecompressJob, memory: BudgetShare): void {
  const giveBack = (): void => memory.giveBack(buffer);
  plain.then(giveBack, giveBack);
}
