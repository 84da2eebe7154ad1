import { abortable, orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import type { AssembledFrames } from './assembled-frames.ts';
import { dumpDamaged, FormatProblem } from './damage.ts';
import type { MapDecoder } from './decode-map.ts';
import { entriesOf } from './decode-map.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameEntry } from './frame-table.ts';
import { FrameTable } from './frame-table.ts';
import type { FrameInMap, PlacedEntry } from './frame-map.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { StreamDigest } from './stream-digest.ts';
import type { DumpProgress } from './types.ts';
import { FRAMES_AHEAD, sharedWorkQueue } from './work-queue.ts';

export interface CheckAssembledOptions {
  readonly codec: FrameCodec;
  /** For the map of the dump. */
  readonly decoder: MapDecoder;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  readonly onProgress?: DumpProgress | undefined;
}

/** What a dump was found to be. */
export interface CheckedDump {
  /** SHA-256 of the stored bytes, lower-case hexadecimal. */
  readonly sha256: string;
  readonly table: FrameTable;
}

/** A frame that is being checked. */
interface FrameJob {
  readonly buffer: Uint8Array | undefined;
  readonly plainBytes: number;
  readonly entry: Promise<FrameEntry>;
}

/**
 * Reads a dump that was put together, from its start to its end, and checks that it is what it should be: each frame's size, checksum and
 * SHA-256, its zeros, and what is after the last frame. Its own SHA-256 comes from this reading.
 *
 * @throws what the decoder throws for damaged frames; GantryError `DUMP_DAMAGED`; the errors of the source and the signal's reason
 */
export async function checkAssembled(
  source: AsyncIterable<Uint8Array>,
  frames: AssembledFrames,
  o: CheckAssembledOptions,
): Promise<CheckedDump> {
  using _contexts = o.decoder.use();
  using digest = new StreamDigest();
  await using reader = new DumpReader(abortable(source, o.signal), digest);
  const memory = o.budget.share();
  const work = sharedWorkQueue();
  const start = (signal: AbortSignal): AsyncGenerator<FrameJob, void, undefined> =>
    frameJobs(reader, frames, { ...o, memory, work, signal });
  const table = new FrameTable();
  let plainBytes = 0;
  try {
    for await (const job of readAhead(start, work.limit + FRAMES_AHEAD, o.signal, (left) => release(left, memory))) {
      try {
        const entry = await orAbort(job.entry, o.signal);
        table.push(entry);
      } finally {
        release(job, memory);
      }
      o.onProgress?.((plainBytes += job.plainBytes), table.storedBytes);
    }
    await o.codec.readTrailer(reader, frames);
    if (!(await reader.atEnd())) throw new FormatProblem('there is something after its end');
  } catch (error) {
    throw error instanceof FormatProblem ? dumpDamaged(error.message) : error;
  }
  return { sha256: await digest.hex(), table };
}

interface JobOptions extends CheckAssembledOptions {
  readonly memory: BudgetShare;
  readonly work: ReturnType<typeof sharedWorkQueue>;
}

/** Reads the frames in their order, and starts to check each. */
async function* frameJobs(reader: DumpReader, frames: AssembledFrames, o: JobOptions): AsyncGenerator<FrameJob, void, undefined> {
  const data = dataFrames(frames);
  let next = data.next().value;
  for (let offset = 0, index = 0; index < frames.length; index += 1) {
    const { storedBytes, plainBytes } = frames.at(index);
    if (next?.entry.place.offset === offset) {
      yield await dataJob(reader, next, o);
      next = data.next().value;
    } else {
      yield { buffer: undefined, plainBytes, entry: Promise.resolve(await readZeros(reader, plainBytes, o.codec)) };
    }
    offset += storedBytes;
  }
}

interface DataFrame {
  readonly index: number;
  readonly entry: PlacedEntry & FrameInMap;
}

function* dataFrames({ map }: AssembledFrames): Generator<DataFrame, undefined, undefined> {
  for (const { index, entry } of entriesOf(map)) if (entry.kind === 'frame') yield { index, entry };
  return undefined;
}

async function dataJob(
  reader: DumpReader,
  { index, entry }: DataFrame,
  { codec, decoder, memory, work, signal }: JobOptions,
): Promise<FrameJob> {
  const { storedBytes } = entry.place;
  const room = decoder.room(entry);
  const buffer = await memory.acquire(room + storedBytes, signal);
  const stored = buffer.subarray(room);
  try {
    await reader.fill(stored);
  } catch (error) {
    memory.release(buffer);
    throw error;
  }
  const frame = { index, entry, stored, base: Buffer.of(), room: buffer.subarray(0, room) };
  const checked = decoder.decode(frame, (decoding) => work.run(signal, decoding));
  const listed = checked.then(async () => ({ storedBytes, isZeros: false, checksum: await codec.checksum(stored) }));
  // A failure is handled when its turn comes.
  listed.catch(() => undefined);
  return { buffer, plainBytes: entry.plainBytes, entry: listed };
}

async function readZeros(reader: DumpReader, plainBytes: number, codec: FrameCodec): Promise<FrameEntry> {
  const expected = codec.zeroFrame(plainBytes);
  const found = Buffer.allocUnsafe(expected.length);
  await reader.fill(found);
  if (!found.equals(expected)) throw new FormatProblem('it has something else in place of a frame of zeros');
  return { storedBytes: expected.length, isZeros: true, checksum: await codec.checksum(expected) };
}

function release({ buffer, entry }: FrameJob, memory: BudgetShare): void {
  if (buffer === undefined) return;
  void Promise.allSettled([entry]).then(() => memory.release(buffer));
}
