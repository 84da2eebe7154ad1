import { orAbort } from '@gantry/transport';
import { readAhead } from '../system/read-ahead.ts';
import type { DecodeFramesOptions, DecodeJob } from './decode-job.ts';
import { DecodeJobs, releaseJob } from './decode-job.ts';
import type { PlainPiece } from './types.ts';
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
  const drop = (job: DecodeJob): void => releaseJob(job, memory);
  const start = (signal: AbortSignal): AsyncGenerator<DecodeJob, void, undefined> =>
    open(new DecodeJobs(frameSize, memory, o, signal), signal);
  let plainBytes = 0;
  for await (const job of readAhead(start, o.work.limit + FRAMES_AHEAD, o.signal, drop)) {
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
      releaseJob(job, memory);
    }
  }
}
