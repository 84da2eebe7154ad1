import type { InspectDisksOptions, InspectedDisks } from '../disks/inspect-disks.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import type { Instance } from '../instances/model.ts';
import type { OperationName } from '../report/events.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { createReporter } from '../report/reporter.ts';
import type { Run } from '../runs/journal.ts';
import { openRun } from '../runs/journal.ts';
import { lockDisk, lockInstance } from '../runs/locks.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { ScriptName } from '../scripts/definition.ts';
import { checkParameters } from '../scripts/parameters.ts';
import type { ScriptOptions } from '../scripts/script-options.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { scriptHooks } from './script-hooks.ts';
import { undoHandlers } from './undo-handlers.ts';

/** A call of an operation, from its first moment on. */
export interface Call {
  readonly options: OperationOptions;
  readonly signal: AbortSignal;
  readonly reporter: Reporter;
}

/** An operation's first step. */
export function startCall(operation: OperationName, options: OperationOptions): Call {
  const signal = options.signal ?? new AbortController().signal;
  return { options, signal, reporter: createReporter(operation, options.onEvent) };
}

/** Inspects the disks of an instance, and reports what is odd about them. @throws as {@link inspectDisks} */
export async function inspectFor(
  { signal, reporter }: Call,
  instance: Instance,
  options: Omit<InspectDisksOptions, 'signal'>,
): Promise<InspectedDisks> {
  const inspected = await inspectDisks(instance, { ...options, signal });
  for (const { message, disk } of inspected.warnings) reporter.warn(message, disk);
  return inspected;
}

export interface SessionOptions {
  readonly os: SelectedOs;
  readonly inspected: InspectedDisks;
  /** Indexes of the disks to lock; each is locked by its identity, not by its path. */
  readonly disks: readonly number[];
  /** `shared`: other runs may read the disks too. */
  readonly diskLock: 'shared' | 'exclusive';
  /** Disks that are not there yet: who makes them locks them. */
  readonly missing?: ReadonlySet<number> | undefined;
}

/** The run of an operation on one instance, from its locks on. Disposing it closes the journal and releases the locks. */
export interface Session extends Call, AsyncDisposable {
  readonly os: SelectedOs;
  readonly instance: Instance;
  readonly inspected: InspectedDisks;
  /** Indexes of the disks that are locked. */
  readonly disks: readonly number[];
  readonly run: Run;
  /** How a script is started here: its output becomes events, and its process group is in the journal while it runs. */
  readonly hooks: (script: ScriptName, about?: { readonly disk: number; readonly signal: AbortSignal }) => ScriptOptions;
}

/**
 * Takes the locks, clears what dead runs left on this machine, and opens the journal.
 *
 * @throws GantryError `BUSY`, `STATE_UNUSABLE`
 */
export async function openSession(call: Call, { os, inspected, disks, diskLock, missing }: SessionOptions): Promise<Session> {
  const { options, signal, reporter } = call;
  const { instance } = inspected;
  const { run, ...scope } = await openCallRun(call, instance.name, async (owner, locks) => {
    for (const index of disks) {
      const disk = instance.disks[index];
      if (disk !== undefined && missing?.has(index) !== true) locks.use(await lockDisk(owner, index, disk, diskLock));
    }
  });
  return {
    ...call,
    os,
    instance,
    inspected,
    disks,
    run,
    hooks: (script, about) => scriptHooks(script, { run, reporter, signal, debug: options.debug, ...about }),
    ...scope,
  };
}

/** The run of a call. Disposing it closes the journal and releases the locks. */
export interface CallRun extends AsyncDisposable {
  readonly run: Run;
}

/**
 * Locks an instance by its name, and what `lockMore` locks; clears what dead runs left on this machine, and opens the journal.
 *
 * @throws GantryError `BUSY`, `STATE_UNUSABLE`
 */
export async function openCallRun(
  { options, signal, reporter }: Call,
  instance: string,
  lockMore: (owner: Parameters<typeof lockInstance>[0], locks: AsyncDisposableStack) => Promise<void> = async () => {},
): Promise<CallRun> {
  const stateDirectory = await openStateDirectory(options.stateDirectory);
  const owner = { stateDirectory, operation: reporter.operation, instance, signal };
  await using held = new AsyncDisposableStack();
  held.use(await lockInstance(owner));
  await lockMore(owner, held);
  await recoverDeadRuns({ stateDirectory, undos: undoHandlers(), signal, report: (message) => reporter.warn(message) });
  const run = held.use(await openRun({ stateDirectory, operation: reporter.operation, instance }));
  const all = held.move();
  return { run, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Checks the OS parameters of the instance, with the definition's `verify` script. @throws as {@link checkParameters} */
export async function checkSessionParameters({ os, instance, hooks }: Session): Promise<void> {
  await checkParameters(os, instance, hooks('verify'));
}
