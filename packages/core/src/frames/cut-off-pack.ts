import { abortable, orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import { sha256OnThread } from '../system/sha256.ts';
import { FormatProblem } from './damage.ts';
import { decompress } from './decode-job.ts';
import { DumpReader } from './dump-reader.ts';
import type { FoundFrame, FrameCodec } from './frame-codec.ts';
import { FrameMap, MAX_MADE_ENTRIES } from './frame-map.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import { StreamDigest } from './stream-digest.ts';
import { FRAME_SIZE } from './types.ts';
import type { WorkQueue } from './work-queue.ts';
import { FRAMES_AHEAD, sharedWorkQueue } from './work-queue.ts';
import { isZero } from './zeros.ts';

export interface CutOffPackOptions {
  readonly codec: FrameCodec;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
}

/** What a pack was found to be whose writer did not come to its end. */
export interface CutOffPack {
  /** Of what is readable in it, one frame after another, as pack 0: where they were in the disk is not known. */
  readonly map: FrameMap;
  /** Of the whole object, bytes. */
  readonly size: number;
  /** Of the stored bytes, lower-case hexadecimal. */
  readonly sha256: string;
}

/**
 * Reads a pack that may end anywhere, and finds its frames by their headers. Each is decompressed, so that its checksum counts; what cannot
 * be decompressed alone, such as a patch, is left out. Frames that are larger than any that Gantry makes end the search.
 *
 * @throws the errors of the source; the reason of the signal
 */
export async function readCutOffPack(source: AsyncIterable<Uint8Array>, o: CutOffPackOptions): Promise<CutOffPack> {
  using _contexts = o.codec.use();
  using digest = new StreamDigest();
  await using reader = new DumpReader(abortable(source, o.signal), digest);
  const memory = o.budget.share();
  const work = sharedWorkQueue();
  const start = (signal: AbortSignal): AsyncGenerator<FrameJob, void, undefined> => frameJobs(reader, o.codec, { memory, work, signal });
  const map = new FrameMap();
  for await (const job of readAhead(start, work.limit + FRAMES_AHEAD, o.signal, (left) => release(left, memory))) {
    try {
      const sha256 = await orAbort(job.sha256, o.signal);
      const { plainBytes, offset, storedBytes } = job;
      if (sha256 === 'zeros') map.pushZeros(plainBytes);
      else if (sha256 !== undefined && map.length < MAX_MADE_ENTRIES)
        map.push({ kind: 'frame', plainBytes, sha256, place: { pack: 0, offset, storedBytes } });
    } finally {
      release(job, memory);
    }
  }
  for (let rest = await reader.peek(); rest !== undefined; rest = await reader.peek()) reader.consume(rest.length);
  return { map, size: reader.offset, sha256: await digest.hex() };
}

interface FrameJob {
  readonly buffer: Uint8Array;
  readonly plainBytes: number;
  readonly offset: number;
  readonly storedBytes: number;
  /** Of its data; undefined if it cannot be decompressed. */
  readonly sha256: Promise<Uint8Array | 'zeros' | undefined>;
}

interface JobOptions {
  readonly memory: BudgetShare;
  readonly work: WorkQueue;
  readonly signal: AbortSignal;
}

async function* frameJobs(
  reader: DumpReader,
  codec: FrameCodec,
  { memory, work, signal }: JobOptions,
): AsyncGenerator<FrameJob, void, undefined> {
  const storedRoom = Math.max(FRAME_SIZE, codec.storedBound(FRAME_SIZE));
  for (;;) {
    const buffer = await memory.acquire(FRAME_SIZE + storedRoom, signal);
    const { offset } = reader;
    let found: FoundFrame | undefined;
    try {
      found = await readNext(codec, reader, buffer.subarray(FRAME_SIZE));
    } catch (error) {
      memory.release(buffer);
      throw error;
    }
    if (found === undefined) return memory.release(buffer);
    const { stored, plainBytes } = found;
    const sha256 = work.run(signal, () => digestFrame(codec, stored, buffer.subarray(0, plainBytes)));
    // A failure is handled when its turn comes.
    sha256.catch(() => undefined);
    yield { buffer, plainBytes, offset, storedBytes: stored.length, sha256 };
  }
}

/** Undefined where there is no other frame, or none that is complete. */
async function readNext(codec: FrameCodec, reader: DumpReader, output: Uint8Array): Promise<FoundFrame | undefined> {
  try {
    const found = await codec.readNext(reader, output);
    return found === undefined || found.plainBytes === 0 || found.plainBytes > FRAME_SIZE ? undefined : found;
  } catch (error) {
    if (error instanceof FormatProblem) return undefined;
    throw error;
  }
}

async function digestFrame(codec: FrameCodec, stored: Uint8Array, output: Uint8Array): Promise<Uint8Array | 'zeros' | undefined> {
  try {
    const plain = await decompress(codec, stored, output);
    return isZero(plain) ? 'zeros' : await sha256OnThread(plain);
  } catch (error) {
    if (error instanceof FormatProblem) return undefined;
    throw error;
  }
}

/** Releases the memory when no thread uses it any more. */
function release({ buffer, sha256 }: FrameJob, memory: BudgetShare): void {
  void Promise.allSettled([sha256]).then(() => memory.release(buffer));
}
