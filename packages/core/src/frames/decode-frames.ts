import { orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import type { DecodeFramesOptions, DecodeJob } from './decode-job.ts';
import { DecodeJobs, releaseJob } from './decode-job.ts';
import type { BudgetShare } from './memory-budget.ts';
import type { DumpProgress, PlainPiece } from './types.ts';
import { FRAMES_AHEAD } from './work-queue.ts';
import { isZero } from './zeros.ts';

/**
 * The plain stream of a dump. Several frames are decompressed at once.
 *
 * @param open yields the dump's frames in order
 */
export async function* decodeFrames(
  frameSize: number,
  open: (jobs: DecodeJobs, signal: AbortSignal) => AsyncGenerator<DecodeJob, void, undefined>,
  o: DecodeFramesOptions,
): AsyncGenerator<PlainPiece, void, undefined> {
  using _contexts = o.codec.use();
  const memory = o.budget.share();
  yield* decodedPieces((signal) => open(new DecodeJobs(frameSize, memory, o, signal), signal), {
    ...o,
    memory,
    ahead: o.work.limit + FRAMES_AHEAD,
  });
}

export interface DecodedPiecesOptions {
  /** From which the buffers of the jobs are. */
  readonly memory: BudgetShare;
  /** How many jobs are under way at once. */
  readonly ahead: number;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** The plain stream of frames that are being decompressed, in their order. */
export async function* decodedPieces(
  start: (signal: AbortSignal) => AsyncGenerator<DecodeJob, void, undefined>,
  { memory, ahead, signal, onProgress }: DecodedPiecesOptions,
): AsyncGenerator<PlainPiece, void, undefined> {
  let plainBytes = 0;
  for await (const job of readAhead(start, ahead, signal, (left) => releaseJob(left, memory))) {
    if ('zeros' in job) {
      plainBytes += job.zeros;
      onProgress?.(plainBytes, job.storedEnd);
      yield { zeros: job.zeros };
      continue;
    }
    try {
      const plain = await orAbort(job.plain, signal);
      plainBytes += plain.length;
      onProgress?.(plainBytes, job.storedEnd);
      yield isZero(plain) ? { zeros: plain.length } : plain;
    } finally {
      releaseJob(job, memory);
    }
  }
}
