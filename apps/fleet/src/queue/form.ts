import { z } from 'zod';
import type { RestoreOrder } from './restore-order.ts';
import { restoreOrder } from './restore-order.ts';
import type { Work } from '../planner/job.ts';
import type { KnownJob, KnownState } from '../planner/plan.ts';

/** How an agent says that an attempt ended. */
export interface AttemptOutput {
  readonly outcome?: 'exported' | 'present' | 'done' | 'failed' | 'left' | 'elsewhere' | 'cancelled' | undefined;
  readonly code?: string | undefined;
  /** Why it failed, or what was done at a store. */
  readonly message?: string | undefined;
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference?: string | undefined;
  readonly plainBytes?: number | undefined;
  readonly storedBytes?: number | undefined;
  /** The store that has a limit for which it waits. */
  readonly waitsFor?: string | undefined;
  /** Of an export that runs: what it has read until its lease was renewed last, and how fast it read since the time before. */
  readonly progress?: Progress | undefined;
}

/** How far an export that runs has come. */
export interface Progress {
  /** From disks, scripts and connections. */
  readonly readBytes: number;
  readonly bytesPerSecond: number;
}

/** Much longer than what agents write. */
const MAX_CHARACTERS = 2000;
const text = z
  .string()
  .transform((all) => all.slice(0, MAX_CHARACTERS))
  .optional()
  .catch(undefined);

/** Written by nodes: what does not fit is left out, or cut off. */
export const attemptOutput: z.ZodType<AttemptOutput> = z.object({
  outcome: z.enum(['exported', 'present', 'done', 'failed', 'left', 'elsewhere', 'cancelled']).optional().catch(undefined),
  code: z.string().max(100).optional().catch(undefined),
  message: text,
  reference: text,
  plainBytes: z.number().nonnegative().optional().catch(undefined),
  storedBytes: z.number().nonnegative().optional().catch(undefined),
  waitsFor: z.string().max(200).optional().catch(undefined),
  progress: z.object({ readBytes: z.number().nonnegative(), bytesPerSecond: z.number().nonnegative() }).optional().catch(undefined),
});

/** The contents of a job. Times are ISO 8601, UTC. */
export type JobData = {
  readonly policy: string;
  /** For work at a store, the name of that. */
  readonly instance: string;
  /** Absent: an export. */
  readonly work?: Work | undefined;
  /** Of a restore, which has it always. */
  readonly restore?: RestoreOrder | undefined;
  /** Of work at a store: exports that began since then are new. */
  readonly since?: string | undefined;
  /** Names of stores that it is written into, and keys of the network segments of its node: they may have limits. */
  readonly stores?: readonly string[] | undefined;
} & (
  | { readonly window: { readonly begin: string; readonly end: string }; readonly asked?: undefined }
  /** A user asked for it then, or had it tried again: it is not bound to a window, and an export that began since is the one. */
  | { readonly asked: string; readonly window?: undefined }
);

const subject = {
  policy: z.string().min(1),
  instance: z.string().min(1),
  work: z.enum(['store', 'restore']).optional(),
  restore: restoreOrder.optional(),
  since: z.iso.datetime().optional(),
  stores: z.array(z.string()).optional(),
};

export const jobData: z.ZodType<JobData> = z
  .union([
    z.object({ ...subject, window: z.object({ begin: z.iso.datetime(), end: z.iso.datetime() }), asked: z.undefined().optional() }),
    z.object({ ...subject, asked: z.iso.datetime({ offset: true }), window: z.undefined().optional() }),
  ])
  .refine(({ work, restore }) => (work === 'restore') === (restore !== undefined));

/** States of pg-boss. */
export type BossState = 'created' | 'retry' | 'active' | 'completed' | 'cancelled' | 'failed';

export const bossState: z.ZodType<BossState> = z.enum(['created', 'retry', 'active', 'completed', 'cancelled', 'failed']);

/**
 * How the last attempt of a job went that waits and has been handed out: `failed` as its agent says; `silent` if its lease ended and it said
 * nothing. Absent where no attempt has started.
 */
export function lastAttemptOf({ outcome, code }: AttemptOutput): KnownJob['lastAttempt'] {
  if (outcome === 'left') return undefined;
  return outcome === undefined && code === undefined ? 'silent' : 'failed';
}

/** What a state of pg-boss means, with what the agent said. */
export function knownState(
  state: BossState | null,
  outcome: AttemptOutput['outcome'],
  { dropped, end, now }: { readonly dropped: boolean; readonly end: Date | undefined; readonly now: Date },
): KnownState {
  if (state === null) return dropped && end !== undefined && end <= now ? 'left' : 'lost';
  switch (state) {
    case 'created':
    case 'retry':
      return 'waiting';
    case 'active':
      return 'running';
    case 'cancelled':
      return 'cancelled';
    case 'failed':
      return 'failed';
    case 'completed':
      return outcome === 'left' || outcome === 'elsewhere' ? outcome : 'done';
  }
}
