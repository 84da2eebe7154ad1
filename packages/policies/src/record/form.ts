import { z } from 'zod';

/*
 * The record of one run of a policy, as docs/reference/formats/policy-runs.md describes it. Readers ignore fields that they do not know.
 */

/** A failure that did not end the run. */
export interface RunProblem {
  /** What failed, such as `instances of cluster` or `verify nightly`. */
  readonly what: string;
  /** An error code of Gantry, or `INTERNAL`. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

/**
 * What became of an instance in one store. `present`: the store had an export that is recent enough. `copied`: the export is a copy from
 * another store; with `code` and `reason` if it was given up there before. `left`: the window ended first.
 */
export interface StoreOfInstance {
  /** As the policy names it. */
  readonly store: string;
  readonly outcome: 'exported' | 'copied' | 'present' | 'failed' | 'left';
  /** `INSTANCE@EXPORT-ID`; absent where the store lacks it. */
  readonly reference?: string | undefined;
  readonly code?: string | undefined;
  readonly reason?: string | undefined;
}

/**
 * `waiting` and `running`: as far as the run has got, or had when it was killed. `present`: every store had a recent export. `left`: the
 * window ended, or the run was interrupted, before every store had it: those that have it say so.
 */
export type InstanceState = 'waiting' | 'running' | 'exported' | 'present' | 'failed' | 'left';

export interface InstanceOfRun {
  readonly name: string;
  /** As the policy names the source. */
  readonly source: string;
  readonly state: InstanceState;
  /** ISO 8601, UTC. */
  readonly started?: string | undefined;
  readonly ended?: string | undefined;
  /** The export, where there is one: `INSTANCE@EXPORT-ID`. */
  readonly reference?: string | undefined;
  readonly plainBytes?: number | undefined;
  /** Written into each store. */
  readonly storedBytes?: number | undefined;
  readonly stores: readonly StoreOfInstance[];
  readonly problems: readonly RunProblem[];
  readonly warnings: readonly string[];
}

/** What was done with a store after the exports. */
export interface StoreOfRun {
  /** As the policy names it. */
  readonly store: string;
  /** `copies`: it gets copies of what is in the first store. */
  readonly role: 'exports' | 'copies';
  readonly copied?:
    | {
        readonly exports: number;
        readonly present: number;
        readonly failed: number;
        /** Of each instance the newest that the store has, `INSTANCE@EXPORT-ID`; absent in records of earlier versions. */
        readonly newest?: readonly string[] | undefined;
        /** Instances of which the store has none; absent in records of earlier versions. */
        readonly missing?: readonly string[] | undefined;
        readonly sentBytes: number;
      }
    | undefined;
  readonly verified?:
    | {
        readonly depth: string;
        readonly exports: number;
        /** `INSTANCE@EXPORT-ID`. */
        readonly damaged: readonly string[];
        readonly unreadable: readonly string[];
        /** Those whose signature is refused; absent in records of earlier versions. */
        readonly refused?: readonly string[] | undefined;
        /** How many sealed ones no identity opened, where frames were to be read; absent in records of earlier versions. */
        readonly closed?: number | undefined;
        readonly left: number;
        readonly readBytes: number;
      }
    | undefined;
  readonly pruned?:
    | { readonly removed: readonly string[]; readonly kept: number; readonly deletedBytes: number; readonly markedBytes: number }
    | undefined;
}

/** `killed`: what a reader makes of `running` when the process is gone, and the next run writes. */
export type RunOutcome = 'running' | 'done' | 'partial' | 'failed' | 'interrupted' | 'killed';

/** `all`: what the policy selects; `incomplete`: what those of its sources said that could be asked; `named`: with `--instance`. */
export type RunSelection = 'all' | 'incomplete' | 'named';

/** One run of a policy: how far it has got, or how it ended. */
export interface PolicyRun {
  readonly format: 'gantry-policy-run';
  readonly version: 1;
  readonly policy: string;
  /** Name of the host that ran it. */
  readonly host: string;
  readonly tool: { readonly name: string; readonly version: string };
  readonly process: { readonly pid: number; readonly startTime: number; readonly bootId: string };
  /** ISO 8601, UTC. */
  readonly started: string;
  /** Absent while it runs, and when it was killed. */
  readonly ended?: string | undefined;
  readonly outcome: RunOutcome;
  /** Absent while it runs, and when it was interrupted. */
  readonly exitCode?: number | undefined;
  /** Which instances it is about; absent until that is known. */
  readonly selection?: RunSelection | undefined;
  readonly instances: readonly InstanceOfRun[];
  readonly stores: readonly StoreOfRun[];
  /** Of the policy as a whole; those of one instance are with it. */
  readonly problems: readonly RunProblem[];
  readonly warnings: readonly string[];
}

const problem = z.object({ what: z.string(), code: z.string(), message: z.string(), hint: z.string().optional() });
const bytes = z.int().nonnegative();
const time = z.iso.datetime();

const instance = z.object({
  name: z.string(),
  source: z.string(),
  state: z.enum(['waiting', 'running', 'exported', 'present', 'failed', 'left']),
  started: time.optional(),
  ended: time.optional(),
  reference: z.string().optional(),
  plainBytes: bytes.optional(),
  storedBytes: bytes.optional(),
  stores: z.array(
    z.object({
      store: z.string(),
      outcome: z.enum(['exported', 'copied', 'present', 'failed', 'left']),
      reference: z.string().optional(),
      code: z.string().optional(),
      reason: z.string().optional(),
    }),
  ),
  problems: z.array(problem),
  warnings: z.array(z.string()),
});

const store = z.object({
  store: z.string(),
  role: z.enum(['exports', 'copies']),
  copied: z
    .object({
      exports: bytes,
      present: bytes,
      failed: bytes,
      newest: z.array(z.string()).optional(),
      missing: z.array(z.string()).optional(),
      sentBytes: bytes,
    })
    .optional(),
  verified: z
    .object({
      depth: z.string(),
      exports: bytes,
      damaged: z.array(z.string()),
      unreadable: z.array(z.string()),
      refused: z.array(z.string()).optional(),
      closed: bytes.optional(),
      left: bytes,
      readBytes: bytes,
    })
    .optional(),
  pruned: z.object({ removed: z.array(z.string()), kept: bytes, deletedBytes: bytes, markedBytes: bytes }).optional(),
});

export const policyRunSchema: z.ZodType<PolicyRun> = z.object({
  format: z.literal('gantry-policy-run'),
  version: z.literal(1),
  policy: z.string(),
  host: z.string(),
  tool: z.object({ name: z.string(), version: z.string() }),
  process: z.object({ pid: z.int().positive(), startTime: z.int().nonnegative(), bootId: z.string() }),
  started: time,
  ended: time.optional(),
  outcome: z.enum(['running', 'done', 'partial', 'failed', 'interrupted', 'killed']),
  exitCode: z.int().nonnegative().optional(),
  selection: z.enum(['all', 'incomplete', 'named']).optional(),
  instances: z.array(instance),
  stores: z.array(store),
  problems: z.array(problem),
  warnings: z.array(z.string()),
});
