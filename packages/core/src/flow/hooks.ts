import { z } from 'zod';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { OperationName } from '../report/events.ts';
import type { Run } from '../runs/journal.ts';
import { openRun } from '../runs/journal.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { Undo } from '../runs/undo.ts';
import type { Argv } from '../system/run-command.ts';
import { endCommandOfKilledRun, processGroupSchema, runCommand } from '../system/run-command.ts';
import type { ProcessGroup } from '../system/process-group.ts';

/*
 * Programs of the user that run around an export. What `before-snapshot` does to the guest must end, so what `after-snapshot` runs is in the
 * journal before it: after a kill, the next run calls it.
 */

/** A program that is called at some moment of an export. */
export interface Hook {
  /** For messages: `before-snapshot`. */
  readonly name: string;
  /** The program, as an absolute path, and its arguments. */
  readonly argv: readonly string[];
  readonly timeoutMs: number;
  /** Besides PATH and LC_ALL, which each hook gets. */
  readonly environment: Readonly<Record<string, string>>;
}

/** What is called before the snapshots of an export are taken, and after. */
export interface SnapshotHooks {
  /** If it fails, the export does, and `after` is called anyway. */
  readonly before?: Hook | undefined;
  /**
   * Called once the snapshots exist, or could not be taken. Where a disk is read itself, because no snapshot of it is taken, or its source
   * sends it: once all data was read.
   */
  readonly after?: Hook | undefined;
  /** Called if `after` fails: the export goes on. There is a warning in any case. */
  readonly afterFailed?: ((error: GantryError) => void) | undefined;
}

const BASE_ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' };

const argvSchema: z.ZodType<Argv> = z.tuple([z.string()], z.string());
const recordSchema = z.object({
  description: z.string(),
  /** What must be called, and its complete environment. Absent: only what runs must end. */
  after: z.object({ argv: argvSchema, timeout: z.number(), environment: z.record(z.string(), z.string()) }).optional(),
  running: processGroupSchema.optional(),
});

/** Ends the hook of a killed run, and calls what must follow it. */
export const hookUndo: Undo = {
  kind: 'hook',
  describe: (record) => recordSchema.parse(record).description,
  async undo(record, _run, signal) {
    const { after, running } = recordSchema.parse(record);
    if (running !== undefined) await endCommandOfKilledRun(running);
    if (after === undefined) return running !== undefined;
    await runCommand(after.argv, { timeoutS: after.timeout, environment: after.environment, signal });
    return true;
  },
};

/**
 * Calls a hook of an instance that no operation works on at the moment.
 *
 * @throws GantryError `HOOK_FAILED`, `STATE_UNUSABLE`; the signal's reason
 */
export async function runHook(
  hook: Hook,
  options: {
    readonly stateDirectory?: string | undefined;
    readonly operation: OperationName;
    readonly instance: string;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { operation, instance, signal } = options;
  await using run = await openRun({ stateDirectory: await openStateDirectory(options.stateDirectory), operation, instance });
  let record: number | undefined;
  const started = async (running: ProcessGroup): Promise<void> => {
    record = await run.remember({ kind: hookUndo.kind, description: `hook ${hook.name} of ${instance}`, running });
  };
  try {
    await call(hook, signal, started);
  } finally {
    if (record !== undefined) await run.forget(record);
  }
}

/** The time between `before` and `after`. */
export interface HookedTime extends AsyncDisposable {
  /** Calls `after`, if that has not happened. Never rejects: a failure is a warning. */
  readonly end: () => Promise<void>;
}

/** Calls `before`. Disposing calls `after`, if {@link HookedTime.end} has not. @throws GantryError `HOOK_FAILED`; the signal's reason */
export async function beginHookedTime(
  hooks: SnapshotHooks | undefined,
  {
    run,
    instance,
    warn,
    signal,
  }: { readonly run: Run; readonly instance: string; readonly warn: (message: string) => void; readonly signal: AbortSignal },
): Promise<HookedTime> {
  const { before, after, afterFailed } = hooks ?? {};
  const record = {
    kind: hookUndo.kind,
    description: `hooks around the snapshots of ${instance}`,
    ...(after === undefined
      ? {}
      : { after: { argv: argvSchema.parse(after.argv), timeout: after.timeoutMs / 1000, environment: environmentOf(after) } }),
  };
  const number = before === undefined && after === undefined ? undefined : await run.remember(record);
  let isOver = false;
  const end = async (): Promise<void> => {
    if (isOver || number === undefined) return;
    isOver = true;
    try {
      // Also when the export was cancelled, or the journal cannot be written any more, which has what must be called.
      const started = async (running: ProcessGroup): Promise<void> =>
        void (await run.remember({ ...record, running }, number).catch(() => undefined));
      if (after !== undefined) await call(after, new AbortController().signal, started);
    } catch (error) {
      const failure = error instanceof GantryError ? error : hookFailed(after?.name ?? '', error);
      warn(`${failure.message}. ${failure.hint ?? ''}`.trimEnd());
      afterFailed?.(failure);
    }
    await run.forget(number).catch((error: unknown) => warn(errorText(error)));
  };
  await using scope = new AsyncDisposableStack();
  scope.defer(end);
  if (before !== undefined && number !== undefined)
    await call(before, signal, async (running) => void (await run.remember({ ...record, running }, number)));
  scope.move();
  return { end, [Symbol.asyncDispose]: end };
}

async function call(hook: Hook, signal: AbortSignal, started: (group: ProcessGroup) => Promise<void>): Promise<void> {
  try {
    await runCommand(argvSchema.parse(hook.argv), {
      timeoutS: hook.timeoutMs / 1000,
      environment: environmentOf(hook),
      started,
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof GantryError ? error : hookFailed(hook.name, error);
  }
}

function environmentOf({ name, environment }: Hook): Record<string, string> {
  return { ...BASE_ENVIRONMENT, ...environment, GANTRY_HOOK: name };
}

function hookFailed(name: string, cause: unknown): GantryError {
  return new GantryError('HOOK_FAILED', {
    message: `the hook ${name} failed: ${errorText(cause)}`,
    hint: 'Its program and time limit are in gantry.yaml, under hooks.',
    cause,
  });
}
