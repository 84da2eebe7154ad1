import { orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import { sha256OnThread } from '../system/sha256.ts';
import type { BlockDigests } from './block-digests.ts';
import type { DataFrame, ZeroFrames } from './framer.ts';
import { Framer } from './framer.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';
import type { PlainReader } from './plain-reader.ts';
import { FRAME_SIZE } from './types.ts';
import type { WorkQueue } from './work-queue.ts';
import { FRAMES_AHEAD } from './work-queue.ts';
import { isZero } from './zeros.ts';

/** A part of a disk: its bytes, valid until the next part is requested, or zeros. `at`: bytes from the start of the disk. */
export type DiskPart = { readonly at: number; readonly data: Uint8Array } | { readonly at: number; readonly zeros: number };

export interface ChangedBlocksOptions {
  readonly budget: MemoryBudget;
  readonly work: WorkQueue;
  readonly signal: AbortSignal;
  /** Called with the bytes of the disk that were compared so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** The disk has another size than is known of it. */
export class SizeChanged extends Error {
  override readonly name = 'SizeChanged';
}

/** Longer runs of zeros are split: a length must fit into four bytes. */
const MAX_ZEROS_BYTES = 1024 ** 3;

type Job = ZeroFrames | (DataFrame & { readonly digests: Promise<readonly (Uint8Array | undefined)[]> });

/**
 * Reads a disk to its end and yields the blocks that differ from what is known of them, in order, those that follow each other together
 * (up to 4 MiB of data). Afterwards `known` says what the disk contained.
 *
 * @throws SizeChanged; the errors of `source`; the signal's reason
 */
export async function* changedBlocks(
  source: PlainReader,
  known: BlockDigests,
  o: ChangedBlocksOptions,
): AsyncGenerator<DiskPart, void, undefined> {
  const memory = o.budget.share();
  const drop = (job: Job): void => releaseJob(job, memory);
  let at = 0;
  for await (const job of readAhead(
    (signal) => digestJobs(source, known, memory, o, signal),
    o.work.limit + FRAMES_AHEAD,
    o.signal,
    drop,
  )) {
    const bytes = 'count' in job ? job.count * job.plainBytes : job.plainBytes;
    try {
      if (at + bytes > known.diskBytes) throw new SizeChanged(`it has more than ${known.diskBytes} bytes`);
      if ('count' in job) yield* runs(at, bytes, known, () => 'zeros');
      else {
        const digests = await orAbort(job.digests, o.signal);
        yield* runs(at, bytes, known, (index) => digests[index] ?? 'zeros', job.buffer);
      }
    } finally {
      drop(job);
    }
    at += bytes;
    o.onProgress?.(at);
  }
  if (at !== known.diskBytes) throw new SizeChanged(`it has ${at} bytes instead of ${known.diskBytes}`);
}

async function* digestJobs(
  source: PlainReader,
  { blockBytes }: BlockDigests,
  memory: BudgetShare,
  { work }: ChangedBlocksOptions,
  signal: AbortSignal,
): AsyncGenerator<Job, void, undefined> {
  for await (const frame of new Framer(FRAME_SIZE, FRAME_SIZE, memory, signal).frames(source)) {
    if ('count' in frame) {
      yield frame;
      continue;
    }
    const digests = work.run(signal, () => digestBlocks(frame.buffer.subarray(0, frame.plainBytes), blockBytes));
    // A failure is handled when its turn comes.
    digests.catch(() => undefined);
    yield { ...frame, digests };
  }
}

/** SHA-256 of each block; undefined for one of zeros. */
export async function digestBlocks(bytes: Uint8Array, blockBytes: number): Promise<readonly (Uint8Array | undefined)[]> {
  const digests: (Uint8Array | undefined)[] = [];
  for (let at = 0; at < bytes.length; at += blockBytes) {
    const block = bytes.subarray(at, at + blockBytes);
    digests.push(isZero(block) ? undefined : await sha256OnThread(block));
  }
  return digests;
}

/** The runs of changed blocks in a part of a disk that starts at a block. */
function* runs(
  start: number,
  bytes: number,
  known: BlockDigests,
  digestAt: (index: number) => Uint8Array | 'zeros',
  buffer: Uint8Array = new Uint8Array(0),
): Generator<DiskPart, void, undefined> {
  const { blockBytes } = known;
  const run: { kind: Kind; from: number } = { kind: 'same', from: 0 };
  for (let at = 0, index = 0; at < bytes; at += blockBytes, index += 1) {
    const kind = compare(known, start / blockBytes + index, digestAt(index));
    if (kind === run.kind && at - run.from < MAX_ZEROS_BYTES) continue;
    yield* part(run.kind, start + run.from, buffer.subarray(run.from, at), at - run.from);
    Object.assign(run, { kind, from: at });
  }
  yield* part(run.kind, start + run.from, buffer.subarray(run.from, bytes), bytes - run.from);
}

type Kind = 'same' | 'data' | 'zeros';

function compare(known: BlockDigests, block: number, digest: Uint8Array | 'zeros'): Kind {
  if (digest === 'zeros') return known.updateZeros(block) ? 'same' : 'zeros';
  return known.update(block, digest) ? 'same' : 'data';
}

function* part(kind: Kind, at: number, data: Uint8Array, bytes: number): Generator<DiskPart, void, undefined> {
  if (kind === 'same' || bytes === 0) return;
  yield kind === 'data' ? { at, data } : { at, zeros: bytes };
}

/** Releases the memory when no thread reads it any more. */
function releaseJob(job: Job, memory: BudgetShare): void {
  if ('count' in job) return;
  const release = (): void => memory.release(job.buffer);
  job.digests.then(release, release);
}
