import { parseExportId } from '@gantry/core';
import type { InstanceState } from '@gantry/policies';
import { z } from 'zod';
import type { AttemptOutput, JobData } from '../queue/form.ts';

/** What is to become of a job after an attempt. */
export type Verdict = { readonly output: AttemptOutput } & (
  | { readonly next: 'complete' }
  | { readonly next: 'retry'; readonly delaySeconds: number; readonly costsAttempt: boolean }
  /** Another attempt cannot help, or must not be made. */
  | { readonly next: 'reject' }
);

interface Problem {
  readonly code: string;
  readonly message: string;
}

/** What `gantry run` did with a store after exports. */
interface DoneAtStore {
  readonly copied?: { readonly exports: number } | undefined;
  readonly verified?: { readonly exports: number; readonly damaged: readonly string[]; readonly left: number } | undefined;
  readonly pruned?: { readonly removed: readonly string[] } | undefined;
}

/** The last line of `gantry run --json`. Fields that are not used here are left out. */
export type LastLine =
  | {
      readonly type: 'result';
      readonly policies: readonly {
        readonly instances: readonly {
          readonly state: InstanceState;
          readonly reference?: string | undefined;
          readonly plainBytes?: number | undefined;
          readonly storedBytes?: number | undefined;
          readonly problems: readonly Problem[];
        }[];
        readonly problems: readonly Problem[];
        /** What was done with stores; absent in what is asked of exports alone. */
        readonly stores?: readonly DoneAtStore[] | undefined;
        readonly warnings?: readonly string[] | undefined;
      }[];
    }
  | {
      readonly type: 'result';
      readonly operation: 'import';
      readonly reference: string;
      readonly instance: string;
      readonly plainBytes: number;
      readonly dryRun: boolean;
      readonly plan?:
        | { readonly into: string; readonly disks: readonly { readonly action?: string | undefined; readonly target: string }[] }
        | undefined;
    }
  | ({ readonly type: 'error' } & Problem)
  /** Not a line that this version knows, or a part of one. */
  | { readonly type: 'unknown'; readonly text: string };

const problems = z.array(z.object({ code: z.string(), message: z.string() }));

const doneAtStore: z.ZodType<DoneAtStore> = z.object({
  copied: z.object({ exports: z.number() }).optional(),
  verified: z.object({ exports: z.number(), damaged: z.array(z.string()), left: z.number() }).optional(),
  pruned: z.object({ removed: z.array(z.string()) }).optional(),
});

const lastLine: z.ZodType<LastLine> = z.union([
  z.object({
    type: z.literal('result'),
    policies: z.array(
      z.object({
        instances: z.array(
          z.object({
            state: z.enum(['waiting', 'running', 'exported', 'present', 'failed', 'left']),
            reference: z.string().optional(),
            plainBytes: z.number().optional(),
            storedBytes: z.number().optional(),
            problems,
          }),
        ),
        problems,
        stores: z.array(doneAtStore).optional(),
        warnings: z.array(z.string()).optional(),
      }),
    ),
  }),
  z.object({
    type: z.literal('result'),
    operation: z.literal('import'),
    reference: z.string(),
    instance: z.string(),
    plainBytes: z.number(),
    dryRun: z.boolean(),
    plan: z.object({ into: z.string(), disks: z.array(z.object({ action: z.string().optional(), target: z.string() })) }).optional(),
  }),
  z.object({ type: z.literal('error'), code: z.string(), message: z.string() }),
]);

/** @param text the last line that an export printed */
export function parseLastLine(text: string): LastLine {
  try {
    return lastLine.parse(JSON.parse(text));
  } catch {
    return { type: 'unknown', text };
  }
}

/** What somebody holds now is soon free. */
const BUSY_DELAY_SECONDS = 60;
const FAILED_DELAY_SECONDS = 300;
const MAX_MESSAGE_CHARACTERS = 1000;

/** Codes of which another attempt tonight makes no difference: somebody has to change something first. */
const FINAL: ReadonlySet<string> = new Set([
  'USAGE',
  'RECIPIENT_INVALID',
  'IDENTITY_UNUSABLE',
  'SIGNING_FAILED',
  'STORE_ADDRESS',
  'STORE_NOT_FOUND',
  'STORE_VERSION',
  'STORE_UNSUPPORTED',
  'INSTANCE_NOT_FOUND',
  'INSTANCE_AMBIGUOUS',
  'INVENTORY_ADDRESS',
  'INVENTORY_NOT_INSTALLED',
  'INVENTORY_NOT_FOUND',
  // Whether a move was committed is to be asked of its peer: trying it again could make a second one.
  'MOVE_UNDECIDED',
]);
/** What was found in a store stays there until somebody mends or removes it. */
const FOUND: ReadonlySet<string> = new Set(['IDENTITY_MISMATCH', 'EXPORT_INCOMPLETE', 'EXPORT_EXISTS']);
const FOUND_KINDS = /^(?:DUMP_|MANIFEST_|SIGNATURE_)/;
const FINAL_KINDS = /^(?:CONFIGURATION_|INSTANCE_FILE_|INSTANCE_INVALID|OS_)/;

/**
 * Decides what becomes of a job from what its export printed last.
 *
 * @param line absent for an export that was killed, or ended before it could say anything
 * @param errors the end of what it wrote to standard error
 */
export function verdictOf(line: LastLine | undefined, data: JobData, now: Date, errors = ''): Verdict {
  return asWork(data, judge(line, data, now, errors));
}

function whatIs({ work }: JobData): string {
  return work === 'restore' ? 'the restore' : 'the export';
}

function judge(line: LastLine | undefined, data: JobData, now: Date, errors: string): Verdict {
  const { policy, window, work } = data;
  const what = whatIs(data);
  if (line === undefined) {
    const said = errors.trimEnd().split('\n').at(-1) ?? '';
    return failed('KILLED', `${what} was killed, or the host went down${said === '' ? '' : `; it said last: ${said}`}`);
  }
  if (line.type === 'unknown')
    return failed('INTERNAL', `${what} ended with a line that this version of gantry-fleet does not know: ${line.text}`);
  if (line.type === 'error') return failed(line.code, line.message);
  if (!('policies' in line)) return restored(line);
  const [run] = line.policies;
  if (work === 'store') return verdictAtStore(run);
  const [instance] = run?.instances ?? [];
  const [problem = { code: 'INTERNAL', message: 'the export named no instance, and no problem' }] = [
    ...(instance?.problems ?? []),
    ...(run?.problems ?? []),
  ];
  if (instance === undefined) return failed(problem.code, problem.message);
  const { state, reference, plainBytes, storedBytes } = instance;
  if (state === 'left' && instance.problems.length === 0) return left(window, now);
  if (state === 'present' && window !== undefined && isEarlier(reference, new Date(window.begin))) {
    const message = `${reference ?? ''} is from before the window that began at ${window.begin} by the planner: the window of policy ${policy}, the time zone or the clock of this node differs from that of the planner`;
    return failed('CONFIGURATION_INVALID', message);
  }
  const isGood = (state === 'exported' || state === 'present') && instance.problems.length === 0;
  if (isGood) return { next: 'complete', output: { outcome: state, reference, plainBytes, storedBytes } };
  return failed(problem.code, problem.message);
}

type RunLine = Extract<LastLine, { readonly policies: unknown }>['policies'][number];

/**
 * A restore is never tried again, not even one that found its disks in use: it would overwrite them as soon as somebody stops the guest. And
 * before it found that of one disk, it may have written to another one.
 */
function asWork({ work }: JobData, verdict: Verdict): Verdict {
  const { output } = verdict;
  if (work !== 'restore' || output.code === undefined) return verdict;
  // Its planner is the user: that the disks are on another node is a failure.
  return { next: 'reject', output: { ...output, outcome: 'failed' } };
}

function restored({ reference, instance, plainBytes, dryRun, plan }: Extract<LastLine, { readonly operation: unknown }>): Verdict {
  const disks = (plan?.disks ?? []).map(({ action = 'overwrite', target }) => `${action} ${target}`).join(', ');
  const message = dryRun ? `dry run: would ${disks} of ${instance}` : `restored into ${instance}`;
  return { next: 'complete', output: { outcome: 'done', reference, plainBytes, message: message.slice(0, MAX_MESSAGE_CHARACTERS) } };
}

/** What failed does not keep the rest from being done, so one attempt more is made if that can mend any of it. */
function verdictAtStore(run: RunLine | undefined): Verdict {
  const { problems: all = [], stores = [], warnings = [] } = run ?? {};
  const isFinal = ({ code }: Problem): boolean => isFinalCode(code) || FOUND.has(code) || FOUND_KINDS.test(code);
  const problem = all.find((each) => !isFinal(each)) ?? all[0];
  const did = [...stores.flatMap(describeDone), ...warnings].join('; ').slice(0, MAX_MESSAGE_CHARACTERS);
  if (problem === undefined) return { next: 'complete', output: { outcome: 'done', message: did === '' ? 'nothing was to be done' : did } };
  const more = all.length === 1 ? '' : `; and ${all.length === 2 ? '1 more problem' : `${all.length - 1} more problems`}`;
  const verdict = failed(problem.code, `${problem.message}${more}`);
  return isFinal(problem) ? { next: 'reject', output: verdict.output } : verdict;
}

function describeDone({ copied, verified, pruned }: DoneAtStore): readonly string[] {
  return [
    ...(copied === undefined ? [] : [`${copied.exports} copied`]),
    ...(verified === undefined ? [] : [`${verified.exports} verified${verified.left === 0 ? '' : `, ${verified.left} left for later`}`]),
    ...(pruned === undefined ? [] : [`${pruned.removed.length} removed`]),
  ];
}

/** Whether an export began before a window. */
function isEarlier(reference: string | undefined, begin: Date): boolean {
  const started = parseExportId(reference?.split('@')[1] ?? '')?.started;
  return started !== undefined && started < begin;
}

/** What becomes of a job whose export could not be started. */
export function notStarted(message: string, data: JobData): Verdict {
  return asWork(data, failed('PLATFORM', message));
}

/** What becomes of a job whose agent was killed before it had noted the process of the export. */
export function notFollowed(data: JobData): Verdict {
  return asWork(data, failed('KILLED', `the agent was killed while it started ${whatIs(data)}: nothing says whether that runs`));
}

/** The window is over, or the clock of this host is behind that of the planner. */
function left(window: JobData['window'], now: Date): Verdict {
  const output: AttemptOutput = { outcome: 'left', message: 'the window had ended, or was not open yet on this host' };
  const isOpen = window !== undefined && now < new Date(window.end);
  return isOpen ? { next: 'retry', delaySeconds: BUSY_DELAY_SECONDS, costsAttempt: false, output } : { next: 'complete', output };
}

function failed(code: string, text: string): Verdict {
  const message = text.slice(0, MAX_MESSAGE_CHARACTERS);
  if (code === 'INSTANCE_ELSEWHERE') return { next: 'complete', output: { outcome: 'elsewhere', code, message } };
  const output: AttemptOutput = { outcome: 'failed', code, message };
  if (code === 'BUSY') return { next: 'retry', delaySeconds: BUSY_DELAY_SECONDS, costsAttempt: false, output };
  if (isFinalCode(code)) return { next: 'reject', output };
  return { next: 'retry', delaySeconds: FAILED_DELAY_SECONDS, costsAttempt: true, output };
}

function isFinalCode(code: string): boolean {
  return FINAL.has(code) || FINAL_KINDS.test(code);
}
