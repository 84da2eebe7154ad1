import type { Configuration, Policy } from '@gantry/config';
import { namedStore } from '@gantry/config';
import { ERROR_EXIT_CODES, GantryError, lockPolicy, lowerPriority, openStateDirectory, sideBySide } from '@gantry/core';
import { AfterExports } from './after-exports.ts';
import type { ExportedOne } from './export-one.ts';
import { exportOne, failOne } from './export-one.ts';
import { takeExportPlace } from './export-places.ts';
import { openPolicyStores } from './open-stores.ts';
import { problemOf } from './problems.ts';
import type { InstanceOfRun, PolicyRun, RunProblem } from './record/form.ts';
import { RunLog } from './record/log.ts';
import { exitCodeOf, runThatDidNotBegin } from './record/new-run.ts';
import { endKilledRuns } from './record/store.ts';
import type { PolicyRunRequest, RunContext } from './run-request.ts';
import { workAtStore } from './store-only.ts';
import type { SelectedInstance } from './selection.ts';
import { selectInstances } from './selection.ts';
import { warningsOfSigners } from './signers.ts';
import type { RunTimes } from './when.ts';
import { timesOf } from './when.ts';
import type { Signals } from './window-end.ts';
import { formatWindow } from './window.ts';
import { abortAt } from './window-end.ts';

/**
 * Runs a policy: exports its instances into its stores, several at once; then copies, verifies and prunes, as it says. What fails is in the
 * result, and the rest goes on. The record of the run is written to the state directory.
 *
 * @throws GantryError `BUSY` if it is already running, `STATE_UNUSABLE`, `PLATFORM` if the priority of the policy cannot be taken; the
 * signal's reason, after the record says that it was interrupted
 */
export async function runPolicy(request: PolicyRunRequest): Promise<PolicyRun> {
  const { policy, signal } = request;
  await using started = await begin(request);
  const { log } = started;
  try {
    await work(request, log);
    return await end(request, log, endOf(log.run));
  } catch (error) {
    log.change(({ instances }) => ({ instances: instances.map(leaveUnfinished) }));
    if (!signal.aborted) log.problem(problemOf(`policy ${policy.name}`, error));
    await end(request, log, signal.aborted ? { outcome: 'interrupted' } : endOf(log.run));
    throw error;
  }
}

/** Takes the lock of the policy, says of earlier runs that they were killed, and begins the record. */
async function begin(request: PolicyRunRequest): Promise<AsyncDisposable & { readonly log: RunLog }> {
  const { policy, stateDirectory, only, signal } = request;
  const selection = only && 'named';
  try {
    lowerPriority(policy.priority);
    await using scope = new AsyncDisposableStack();
    scope.use(await lockPolicy(await openStateDirectory(stateDirectory), policy.name, { parts: partsOf(request), signal }));
    const warn = (message: string): void => request.onEvent?.({ type: 'warning', operation: 'run', message });
    if (isPart(request)) {
      const log = await RunLog.unwritten(policy.name, { warn, selection });
      const held = scope.move();
      return { log, [Symbol.asyncDispose]: () => held.disposeAsync() };
    }
    const killed = await endKilledRuns(policy.name, { stateDirectory, warn });
    for (const run of killed) await request.onEnded?.(run);
    const log = await RunLog.open(policy.name, { stateDirectory, warn, selection });
    if (killed.length > 0) log.change(() => ({ warnings: killed.map(wasKilled) }));
    const held = scope.move();
    return { log, [Symbol.asyncDispose]: () => held.disposeAsync() };
  } catch (error) {
    signal.throwIfAborted();
    await request.onNotBegun?.(await runThatDidNotBegin(policy.name, error, selection));
    throw error;
  }
}

/** Whether others record it, beside other parts of the policy. */
function isPart({ exportsOnly, storeOnly }: PolicyRunRequest): boolean {
  return exportsOnly === true || storeOnly !== undefined;
}

/** Parts of a policy keep each other out by what they are about. */
function partsOf({ exportsOnly, storeOnly, only = [] }: PolicyRunRequest): readonly string[] | undefined {
  // No name of an instance has a blank.
  if (storeOnly !== undefined) return [`store ${storeOnly}`];
  return exportsOnly === true ? only : undefined;
}

function wasKilled({ started }: PolicyRun): string {
  return `the run that began at ${started} was killed, or the host went down`;
}

async function end({ onEnded }: PolicyRunRequest, log: RunLog, how: Pick<PolicyRun, 'outcome' | 'exitCode'>): Promise<PolicyRun> {
  const run = await log.end(how);
  await onEnded?.(run);
  return run;
}

function leaveUnfinished(instance: InstanceOfRun): InstanceOfRun {
  return instance.state === 'waiting' || instance.state === 'running' ? { ...instance, state: 'left' } : instance;
}

async function work(request: PolicyRunRequest, log: RunLog): Promise<void> {
  const { policy, configuration, context, only, storeOnly, signal } = request;
  if (storeOnly !== undefined) {
    await workAtStore(request, log, storeOnly);
    return;
  }
  await using selection = await selectInstances(policy.instances, { ...context, signal, configuration, only });
  const { instances, problems, warnings } = selection;
  const waiting = instances.map(({ name, from }): InstanceOfRun => ({
    name,
    source: from,
    state: 'waiting',
    stores: [],
    problems: [],
    warnings: [],
  }));
  const selected = only === undefined ? (problems.length === 0 ? 'all' : 'incomplete') : 'named';
  const ofSigners = await warningsOfSigners(request);
  await log.select({ selection: selected, instances: waiting }, { problems, warnings: [...warnings, ...ofSigners] });
  if (instances.length === 0 && problems.length === 0) log.problem(nothingSelected(request));
  await using opened = await openPolicyStores(request, 'write');
  log.change((run) => ({ problems: [...run.problems, ...opened.problems] }));
  if (instances.length === 0) return;
  const times = timesOf(request, new Date());
  await exportAll({ request, stores: opened.all, since: times.since }, instances, log, times);
  if (request.exportsOnly !== true) await new AfterExports(request, log).run(opened.usable);
}

function nothingSelected({ policy, only }: PolicyRunRequest): RunProblem {
  const message =
    only === undefined ? `policy ${policy.name} selects no instance` : `policy ${policy.name} has no instance ${only.join(' or ')}`;
  return problemOf(`policy ${policy.name}`, new GantryError('INSTANCE_NOT_FOUND', { message }));
}

/** How many instances a policy exports at once: what it says, and what its stores allow. */
function parallelOf(configuration: Configuration, { parallel, stores }: Policy): number {
  const limits = stores.map((named) => namedStore(configuration, named)?.parallel ?? Infinity);
  return Math.min(parallel, ...limits);
}

async function exportAll(context: RunContext, instances: readonly SelectedInstance[], log: RunLog, { window }: RunTimes): Promise<void> {
  const { request } = context;
  const { policy, configuration } = request;
  const end = typeof window === 'string' ? undefined : window.end;
  using stop = abortAt(policy.window?.atEnd === 'stop' ? end : undefined);
  const mayBegin = (): boolean => window === 'open' || (end !== undefined && new Date() < end);
  await sideBySide(instances, parallelOf(configuration, policy), request.signal, async (selected, signal) => {
    const signals: Signals = { run: signal, work: AbortSignal.any([signal, stop.signal]) };
    const outcome = await exportInPlace(context, selected, { log, mayBegin, signals });
    await log.instance(selected.name, outcome);
  });
  const left = log.run.instances.filter(({ state, reference }) => state === 'left' && reference === undefined);
  if (left.length > 0) log.change(({ warnings }) => ({ warnings: [...warnings, outsideOf(policy, left.length)] }));
}

interface InPlace {
  readonly log: RunLog;
  readonly mayBegin: () => boolean;
  readonly signals: Signals;
}

/** Waits for a place and exports. That there can be none is the failure of one instance: the next may get one. */
async function exportInPlace(
  context: RunContext,
  selected: SelectedInstance,
  { log, mayBegin, signals }: InPlace,
): Promise<(ExportedOne & { readonly ended: string }) | { readonly state: 'left' }> {
  const { name } = selected;
  const ended = (outcome: ExportedOne): ExportedOne & { readonly ended: string } => ({ ...outcome, ended: new Date().toISOString() });
  let taken: AsyncDisposable | undefined;
  try {
    taken = await takeExportPlace(context.request, name, { mayBegin, signal: signals.run });
  } catch (error) {
    return ended(await failOne(context, selected, signals, error));
  }
  if (taken === undefined) return { state: 'left' };
  await using _place = taken;
  await log.instance(name, { state: 'running', started: new Date().toISOString() });
  return ended(await exportOne(context, selected, signals));
}

function outsideOf({ window }: Policy, count: number): string {
  const when = window === undefined ? 'the window' : formatWindow(window);
  return `${count === 1 ? '1 instance was' : `${count} instances were`} not exported, because it was outside of ${when}`;
}

/** How a run ended. `partial`: something was done, and something failed or was left. */
function endOf({ instances, problems, stores }: PolicyRun): { readonly outcome: 'done' | 'partial' | 'failed'; readonly exitCode: number } {
  const all = [...problems, ...instances.flatMap((instance) => instance.problems)];
  const isGood = ({ state }: InstanceOfRun): boolean => state === 'exported' || state === 'present';
  if (all.length === 0 && instances.every(isGood)) return { outcome: 'done', exitCode: 0 };
  const isPartly = instances.some(({ reference }) => reference !== undefined) || (instances.length === 0 && stores.length > 0);
  if (isPartly) return { outcome: 'partial', exitCode: ERROR_EXIT_CODES.PARTLY_DONE };
  const [first] = all;
  return {
    outcome: 'failed',
    exitCode: first === undefined ? ERROR_EXIT_CODES.PARTLY_DONE : exitCodeOf(first),
  };
}
