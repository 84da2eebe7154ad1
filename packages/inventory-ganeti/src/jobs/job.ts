import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import { z } from 'zod';

export type JobStatus = 'queued' | 'waiting' | 'canceling' | 'running' | 'canceled' | 'success' | 'error';

/** What a job says while it works, such as that it waits for locks, or where a remote import listens. */
export interface JobLogEntry {
  /** Grows by one from entry to entry of a job. */
  readonly serial: number;
  /** `message`, `remote-import` and others. */
  readonly type: string;
  readonly message: unknown;
}

/** A job of Ganeti: a list of operations ("opcodes"), each with a status and a result. */
export interface Job {
  readonly id: string;
  readonly status: JobStatus;
  readonly operationStatus: readonly string[];
  readonly results: readonly unknown[];
  readonly log: readonly JobLogEntry[];
}

/** Where jobs can be looked at: RAPI or LUXI. */
export interface JobQueue {
  /** @throws InventoryError; the reason of the signal */
  job(id: string, options?: CallOptions): Promise<Job>;
  /** Cancels a job that does not run yet; others go on. */
  cancelJob(id: string, options?: CallOptions): Promise<void>;
}

const jobId = z.union([z.int(), z.string().regex(/^[0-9]{1,20}$/)]).transform(String);

const logEntry = z
  .tuple([z.int(), z.unknown(), z.string(), z.unknown()])
  .rest(z.unknown())
  .transform(([serial, , type, message]): JobLogEntry => ({ serial, type, message }));

const job = z.object({
  id: jobId,
  status: z.enum(['queued', 'waiting', 'canceling', 'running', 'canceled', 'success', 'error']),
  opstatus: z.array(z.string()),
  opresult: z.array(z.unknown()).nullish(),
  oplog: z.array(z.array(logEntry)).nullish(),
});

/**
 * @param from who says so, for messages
 * @throws InventoryError `failed`
 */
export function parseJob(value: unknown, from: string): Job {
  const { success, data } = job.safeParse(value);
  if (!success) throw new InventoryError('failed', { message: `${from}: the answer does not describe a job as Ganeti does` });
  const { id, status, opstatus, opresult, oplog } = data;
  return { id, status, operationStatus: opstatus, results: opresult ?? [], log: (oplog ?? []).flat() };
}

/** @throws InventoryError `failed` */
export function parseJobId(value: unknown, from: string): string {
  const { success, data } = jobId.safeParse(value);
  if (success) return data;
  throw new InventoryError('failed', { message: `${from}: the answer is not the number of a job` });
}
