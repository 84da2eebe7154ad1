import { setTimeout as sleep } from 'node:timers/promises';
import type { CallOptions, InventoryErrorCode } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { shownText } from '../shown-text.ts';
import type { Job, JobLogEntry, JobQueue } from './job.ts';

export interface WaitForJobOptions extends CallOptions {
  /** What the job does, such as `to describe web1.example.com`. */
  readonly what: string;
  /** Called for each new entry of the job's log, in order. */
  readonly onLog?: ((entry: JobLogEntry) => void) | undefined;
  /** ms after which a job that is not finished is given up; it may be waiting for locks for ever. */
  readonly timeoutMs?: number | undefined;
  /** What it is given up with: `unavailable` where absent. */
  readonly late?: InventoryErrorCode | undefined;
}

/** A job of Ganeti did not do what it was for. It has ended, unless there was a limit of time. */
export class JobError extends InventoryError {
  readonly jobId: string;

  constructor(code: InventoryErrorCode, jobId: string, message: string, hint: string) {
    super(code, { message, hint });
    this.jobId = jobId;
  }
}

/** ms between two looks at a job: often at first, since most jobs take a second, then less often. */
const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 1000;

/**
 * Waits until a job is finished. A job that is given up, because of the signal or the time, is cancelled if it does not run yet.
 *
 * @returns the result of each of its operations
 * @throws JobError; what the queue throws; the reason of the signal
 */
export async function waitForJob(queue: JobQueue, id: string, options: WaitForJobOptions): Promise<readonly unknown[]> {
  const { signal, onLog, what, timeoutMs, late = 'unavailable' } = options;
  const deadline = timeoutMs === undefined ? Infinity : performance.now() + timeoutMs;
  let serial = 0;
  let delay = FIRST_DELAY_MS;
  let status: Job['status'] = 'queued';
  try {
    while (performance.now() < deadline) {
      const job = await queue.job(id, { signal });
      for (const entry of job.log) {
        if (entry.serial <= serial) continue;
        serial = entry.serial;
        onLog?.(entry);
      }
      if (job.status === 'success') return job.results;
      if (job.status === 'error' || job.status === 'canceled') throw jobFailure(job, what);
      status = job.status;
      await pause(delay, signal);
      delay = Math.min(delay * 1.5, MAX_DELAY_MS);
    }
  } catch (error) {
    if (signal?.aborted === true) await cancelQuietly(queue, id);
    signal?.throwIfAborted();
    throw error;
  }
  await cancelQuietly(queue, id);
  const state = status === 'waiting' ? 'waits for locks of another job' : `is ${status}`;
  const message = `job ${id} ${what} is not finished after ${(timeoutMs ?? 0) / 1000} s: it ${state}`;
  throw new JobError(late, id, message, 'On the master, gnt-job list --running shows what the cluster does.');
}

/** Gives up a job as far as that is possible: one that runs already goes on, and a user who may only read cannot cancel any. */
async function cancelQuietly(queue: JobQueue, id: string): Promise<void> {
  await queue.cancelJob(id, { signal: AbortSignal.timeout(CANCEL_TIMEOUT_MS) }).catch(() => undefined);
}

const CANCEL_TIMEOUT_MS = 2000;

function jobFailure({ id, status, operationStatus, results }: Job, what: string): JobError {
  const hint = `On the master: gnt-job info ${id}`;
  if (status === 'canceled') return new JobError('failed', id, `job ${id} ${what} was cancelled`, hint);
  const failed = operationStatus.findIndex((each) => each === 'error');
  const { text, kind } = ganetiError(results[failed === -1 ? 0 : failed]);
  return new JobError(CODES[kind] ?? 'failed', id, `job ${id} ${what} failed: ${text}`, hint);
}

/** Ganeti's kinds of failure (`ECODE_…` in its source) that have a code of their own here. */
const CODES: Readonly<Record<string, InventoryErrorCode>> = {
  already_exists: 'exists',
  resource_not_unique: 'exists',
  temp_insufficient_resources: 'unavailable',
  unknown_entity: 'not-found',
};

/** An operation's error comes as `["OpPrereqError", ["Instance 'web1' not known", "unknown_entity"]]`. */
function ganetiError(result: unknown): { readonly text: string; readonly kind: string } {
  const parameters: unknown = Array.isArray(result) ? result[1] : undefined;
  const [text, kind]: unknown[] = Array.isArray(parameters) ? parameters : [];
  return {
    text: typeof text === 'string' && text.trim() !== '' ? shownText(text) : 'Ganeti does not say why',
    kind: typeof kind === 'string' ? kind : '',
  };
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal });
}
