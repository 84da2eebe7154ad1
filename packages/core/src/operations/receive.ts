import { hostname } from 'node:os';
import type { PeerChannel } from '@gantry/transport';
import { orAbort } from '@gantry/transport';
import { beginRun } from '../flow/session.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { writeDisk } from '../flow/disk-target.ts';
import { decodeLiveDump } from '../frames/decode-live-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import { assertEnoughDisks, assertRoom, assertSameOs } from '../flow/import-checks.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import type { DescribedInstance, InstanceGuard } from '../instances/instance-source.ts';
import type { Instance } from '../instances/model.ts';
import { loadInstanceFile } from '../instances/load-instance-file.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { createReporter, reportPhases } from '../report/reporter.ts';
import { checkParameters } from '../scripts/parameters.ts';
import { runRenameScript } from '../scripts/script.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { assertOperation } from '../scripts/select.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import { EventRelay } from '../peer/event-relay.ts';
import { describeFailure } from '../peer/failure.ts';
import { Link } from '../peer/link.ts';
import type { MoveStage, Order, Ready } from '../peer/messages.ts';
import { garbageError } from '../peer/peer-errors.ts';
import type { ReceiveLimits } from '../peer/receive-limits.ts';
import { allowedInstanceFile, assertInstanceAllowed, assertOsAllowed } from '../peer/receive-limits.ts';
import type { IncomingDisk } from '../peer/receiver-inboxes.ts';
import { ReceiverInboxes, windowFor } from '../peer/receiver-inboxes.ts';
import { TargetDisks } from '../peer/target-disks.ts';
import { runAndFlush } from '../flow/run-and-flush.ts';
import { scriptHooks } from '../flow/script-hooks.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { Run } from '../runs/journal.ts';
import { warnOfGpt } from '../flow/check-data.ts';
import { assertStillUnused, assertTargetsUnused } from '../flow/target-use.ts';
import { describeTargets } from '../flow/write-plan.ts';
import { MoveLedger } from '../peer/move-ledger.ts';

export interface ReceiveRequest extends OperationOptions {
  /** The channel to the source. The caller disposes it. */
  readonly channel: PeerChannel;
  readonly limits?: ReceiveLimits | undefined;
  /** Relative paths of instance files count from here, unless a limit names a directory. */
  readonly cwd: string;
  /** Describes the target by the address that the source gave. Where it is absent, or a directory is a limit, instance files alone. */
  readonly describe?: ((address: string) => Promise<DescribedInstance>) | undefined;
  /** Seconds in which the source must send its order; default 60. The order then says how long the source may be silent. */
  readonly firstTimeout?: number | undefined;
}

export interface ReceiveResult {
  readonly moveId: string;
  /** The instance's name here. */
  readonly instance: string;
  readonly disks: readonly number[];
  /** The source only asked what would be overwritten: nothing was moved. */
  readonly dryRun: boolean;
  readonly warnings: readonly string[];
}

const DEFAULT_FIRST_TIMEOUT_SECONDS = 60;
const SAY_MS = 3000;
const SOURCE = 'the source';

/** How far a move got, for the report when it fails. */
interface MoveState {
  stage: MoveStage;
  target: TargetDisks;
  ledger: MoveLedger | undefined;
  /** The result, once the move is committed: later failures do not change it. */
  committed?: ReceiveResult;
}

/** What all parts of one move share. */
interface Transfer {
  readonly request: ReceiveRequest;
  readonly order: Order;
  readonly os: SelectedOs;
  readonly inspected: InspectedDisks;
  readonly run: Run;
  readonly reporter: Reporter;
  readonly link: Link;
  readonly inboxes: ReceiverInboxes;
  readonly budget: MemoryBudget;
  readonly moveState: MoveState;
}

/**
 * Receives one instance from `moveInstance` on another machine, which sends its order through the channel. Refuses what the limits do
 * not allow before any script runs. Never outlives the channel: when that ends, so do the scripts. When this rejects, warnings have
 * reported the state of each disk, to the source too if it is still connected.
 *
 * @throws GantryError, or the reason of the signal
 */
export function receiveInstance(request: ReceiveRequest): Promise<ReceiveResult> {
  return withFirstError(() => runReceive(request));
}

async function runReceive(request: ReceiveRequest): Promise<ReceiveResult> {
  const signal = request.signal ?? new AbortController().signal;
  const events = new EventRelay(request.onEvent);
  const reporter = createReporter('receive', events.listener);
  const inboxes = new ReceiverInboxes();
  using link = new Link(request.channel, {
    peer: SOURCE,
    listener: inboxes,
    peerTimeoutMs: 1000 * (request.firstTimeout ?? DEFAULT_FIRST_TIMEOUT_SECONDS),
  });
  const moveState: MoveState = { stage: 'check', target: new TargetDisks([]), ledger: undefined };
  try {
    return await receive({ request, reporter, events, inboxes, link, moveState }, AbortSignal.any([signal, link.lost]));
  } catch (error) {
    const { stage, target, ledger, committed } = moveState;
    if (committed !== undefined) {
      reporter.warn(`the move is committed, but cleaning up after it failed: ${errorText(error)}`);
      return committed;
    }
    const failure = describeFailure(error, stage);
    const hasFailed = await ledger?.fail(`stage ${stage}: ${failure.message}`, target.states);
    // The source must not get an answer: after a power cut the record on disk may say either.
    if (ledger !== undefined && hasFailed === false) throw undecidedError(ledger.moveId, error);
    await link.sendFailure({ ...failure, states: target.states }, SAY_MS);
    target.report((message, disk) => reporter.warn(message, disk), 'this side');
    reporter.warn(`the move failed (stage: ${stage}): nothing of it counts`);
    throw error;
  }
}

interface Session {
  readonly request: ReceiveRequest;
  readonly reporter: Reporter;
  readonly events: EventRelay;
  readonly inboxes: ReceiverInboxes;
  readonly link: Link;
  readonly moveState: MoveState;
}

async function receive({ request, reporter, events, inboxes, link, moveState }: Session, signal: AbortSignal): Promise<ReceiveResult> {
  const order = await link.expect('order', signal);
  link.peerTimeoutMs = order.peerTimeout * 1000;
  events.attach(link);
  const { os, inspected, guard, disks, writable } = await checkOrder(order, request, reporter, signal);
  const { instance } = inspected;
  moveState.target = new TargetDisks(disks);

  const { stateDirectory } = request;
  await using run = await beginRun({ instance, disks: writable, diskLock: 'exclusive', stateDirectory, reporter, signal });
  await assertTargetsUnused(instance, writable, { force: order.forceInUse, guard, reporter, signal });
  const window = windowFor(disks.length);
  const targets = await describeTargets(inspected, disks, signal);
  const ready: Ready = { kind: 'ready', instance: instance.name, node: hostname(), window, disks: targets };
  const result = { moveId: order.moveId, instance: instance.name, disks };
  if (order.dryRun) {
    await link.send(ready);
    return { ...result, dryRun: true, warnings: reporter.warnings };
  }
  await checkParameters(os, instance, scriptHooks('verify', { run, reporter, signal, debug: order.debug }));
  moveState.ledger = await MoveLedger.open(stateDirectory, order, { target: instance.name, disks: moveState.target.states });

  const incoming = disks.map((disk) => {
    const { stored, made } = inboxes.open(disk, window, (bytes) => void link.sendCredit(disk, bytes).catch(() => undefined));
    return { disk, stored, made };
  });
  moveState.stage = 'transfer';
  reporter.stage(`receiving ${terminalSafe(order.instance)} of ${terminalSafe(order.node)} into ${instance.name}`);
  await link.send(ready);

  const transfer: Transfer = {
    request,
    order,
    os,
    inspected,
    run,
    reporter,
    link,
    inboxes,
    moveState,
    budget: new MemoryBudget(DEFAULT_BUDGET_BYTES),
  };
  await sideBySide(incoming, incoming.length, signal, (disk, signal) => importDisk(transfer, disk, signal));

  await link.expect('prepare', signal);
  if (order.rename) await rename(transfer, writable, signal);
  moveState.stage = 'commit';
  await link.send({ kind: 'prepared' });
  await link.expect('commit', signal);
  return await commit(transfer, { ...result, dryRun: false, warnings: reporter.warnings });
}

interface CheckedOrder {
  readonly os: SelectedOs;
  readonly inspected: InspectedDisks;
  readonly guard: InstanceGuard | undefined;
  readonly disks: readonly number[];
  /** Those of the move, and others that could be looked at where a rename script may write to any. */
  readonly writable: readonly number[];
}

/** All refusals come from here, before any disk is written and any script runs. */
async function checkOrder(order: Order, request: ReceiveRequest, reporter: Reporter, signal: AbortSignal): Promise<CheckedOrder> {
  const limits = request.limits ?? {};
  const disks = order.disks.map(({ disk }) => disk);
  if (new Set(disks).size < disks.length) throw garbageError(SOURCE, 'it named a disk twice');
  const { instance: described, guard } = await describeTarget(order.instanceFile, request, signal);
  assertInstanceAllowed(described.name, limits);
  const os = await chooseOs(described, 'import', { ...request, forceVariant: order.forceVariant });
  assertOsAllowed(os.definition.name, limits);
  if (order.rename) assertOperation(os, 'rename');
  const from = `the instance ${terminalSafe(order.instance)}`;
  assertSameOs(os, order.os, from, order.allowOtherOs);
  assertEnoughDisks(disks, from, described);
  const inspected = await inspectDisks(described, { purpose: 'import', disks, signal });
  for (const { message, disk } of inspected.warnings) reporter.warn(message, disk);
  const originals = order.disks.map(({ disk, size, plainBytes }) => ({ index: disk, size, plainBytes }));
  assertRoom(os, originals, from, inspected, reporter);
  const others = inspected.diskBytes.flatMap((bytes, index) => (bytes === undefined || disks.includes(index) ? [] : [index]));
  return { os, inspected, guard, disks, writable: order.rename ? [...disks, ...others] : disks };
}

async function describeTarget(
  address: string,
  { describe, limits = {}, cwd }: ReceiveRequest,
  signal: AbortSignal,
): Promise<{ readonly instance: Instance; readonly guard?: InstanceGuard }> {
  if (describe === undefined || limits.instanceDirectory !== undefined)
    return { instance: await loadInstanceFile(await allowedInstanceFile(address, limits, cwd), { signal }) };
  const described = await describe(address);
  return { instance: described.instance, guard: described };
}

async function importDisk(transfer: Transfer, incoming: IncomingDisk & { readonly disk: number }, signal: AbortSignal): Promise<void> {
  const { disk, stored, made } = incoming;
  const { order, os, inspected, run, reporter, link, inboxes, budget, moveState } = transfer;
  const { instance } = inspected;
  reporter.disk(disk, 'waiting');
  await orAbort(stored.started, signal);
  await reportPhases(reporter, disk, async () => {
    const tell = reporter.progressOf(disk, () => order.disks.find((each) => each.disk === disk)?.plainBytes);
    const pieces = decodeLiveDump(stored, { made: () => orAbort(made, signal), budget, signal, onProgress: tell });
    const hooks = scriptHooks('import', { run, reporter, signal, debug: order.debug, disk });
    await writeDisk(os, {
      ...hooks,
      signal,
      instance,
      disk,
      pieces,
      forceInUse: order.forceInUse,
      checkFirst: (piece) => warnOfGpt({ disk, isRaw: os.definition.builtin, targetBytes: inspected.diskBytes[disk] }, piece, reporter),
      onTouch: () => moveState.target.set(disk, 'partial'),
    });
    moveState.target.set(disk, 'complete');
    // Already compared with our own count and digest; the source compares them too.
    const { frames, plainBytes, storedBytes, sha256 } = await made;
    tell(plainBytes, storedBytes, true);
    await link.send({ kind: 'taken', disk, frames, plainBytes, storedBytes, sha256 });
    inboxes.close(disk);
  });
}

/** Gives the system on the disks, which has the instance's name on the source, its name here. */
async function rename(
  { order, os, inspected: { instance }, run, reporter, moveState }: Transfer,
  disks: readonly number[],
  signal: AbortSignal,
): Promise<void> {
  moveState.stage = 'rename';
  reporter.stage(`renaming ${terminalSafe(order.instance)} to ${instance.name}`);
  const hooks = scriptHooks('rename', { run, reporter, signal, debug: order.debug });
  const named = { ...instance, name: order.instance };
  // The transfer took a while: a guest may have been started meanwhile.
  for (const disk of disks) await assertStillUnused(instance, disk, { force: order.forceInUse, signal });
  await runAndFlush(instance, disks, () => runRenameScript(os, { ...hooks, instance: named, newName: instance.name }));
}

/** Once the record is on disk the move is committed, even if the connection is lost. */
async function commit({ link, reporter, moveState }: Transfer, result: ReceiveResult): Promise<ReceiveResult> {
  const { ledger, target } = moveState;
  target.setAll('committed');
  try {
    await ledger?.commit(target.states);
  } catch (error) {
    target.setAll('complete');
    throw error;
  }
  moveState.committed = result;
  try {
    await link.send({ kind: 'committed' });
    await link.expect('acknowledged', link.lost);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    reporter.warn('the move is committed here, but the source did not acknowledge that: it may not know');
  }
  return result;
}

function undecidedError(moveId: string, cause: unknown): GantryError {
  return new GantryError('MOVE_UNDECIDED', {
    message: `the record that the move is committed could neither be made durable nor be removed: ${errorText(cause)}`,
    hint: `Once the state directory is writable, ask on this machine: gantry receive --outcome ${moveId}`,
    cause,
  });
}
