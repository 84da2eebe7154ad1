import { hostname } from 'node:os';
import type { PeerChannel } from '@gantry/transport';
import { orAbort } from '@gantry/transport';
import { warnOfGpt } from '../flow/check-data.ts';
import type { OrderLimits } from '../flow/check-order.ts';
import { checkOrder } from '../flow/check-order.ts';
import type { DefinedInstance } from '../flow/definition.ts';
import { Definition } from '../flow/definition.ts';
import { warnOfOtherDisks } from '../flow/import-checks.ts';
import { receiveDisk } from '../flow/in.ts';
import { receiveRounds } from '../flow/live-in.ts';
import { assertReadsPlaces } from '../flow/live-request.ts';
import { runAndFlush } from '../flow/run-and-flush.ts';
import type { Call, Session } from '../flow/session.ts';
import { checkSessionParameters, openSession, startCall } from '../flow/session.ts';
import { assertStillUnused, assertTargetsUnused } from '../flow/target-use.ts';
import { describeTargets } from '../flow/write-plan.ts';
import { decodeLiveDump } from '../frames/decode-live-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { InstanceSource, NativeFile } from '../instances/inventory.ts';
import { EventRelay } from '../peer/event-relay.ts';
import { describeFailure } from '../peer/failure.ts';
import { Link } from '../peer/link.ts';
import type { LiveOrder, MoveStage, Order, Ready } from '../peer/messages.ts';
import { MoveLedger } from '../peer/move-ledger.ts';
import { garbageError } from '../peer/peer-errors.ts';
import type { IncomingDisk } from '../peer/receiver-inboxes.ts';
import { ReceiverInboxes, windowFor } from '../peer/receiver-inboxes.ts';
import { TargetDisks } from '../peer/target-disks.ts';
import { WireProblem } from '../peer/wire.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import { reportPhases } from '../report/reporter.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import { runRenameScript } from '../scripts/script.ts';
import { sideBySide } from '../system/side-by-side.ts';

export interface ReceiveRequest extends OrderLimits {
  /** The channel to the source. The caller disposes it. */
  readonly channel: PeerChannel;
  /** Seconds in which the source must send its order; default 60. The order then says how long the source may be silent. */
  readonly firstTimeout?: number | undefined;
}

export interface ReceiveResult {
  readonly moveId: string;
  /** The instance's name here. */
  readonly instance: string;
  readonly disks: readonly number[];
  /** Where it became known, if that was asked for. */
  readonly defined?: DefinedInstance;
  /** The source only asked what would be overwritten: nothing was moved. */
  readonly dryRun: boolean;
  readonly warnings: readonly string[];
}

const DEFAULT_FIRST_TIMEOUT_SECONDS = 60;
const SAY_MS = 3000;
/** How long starting a guest after the commit may take. */
const START_MS = 120_000;
const MAX_PROBLEM_CHARACTERS = 4000;
const SOURCE = 'the source';

/** How far a move got, for the report when it fails. */
interface MoveState {
  stage: MoveStage;
  target: TargetDisks;
  ledger: MoveLedger | undefined;
  /** The result, once the move is committed: later failures do not change it. */
  committed?: ReceiveResult;
}

/** The connection to the source, and how far the move got. */
interface Connection {
  readonly call: Call;
  readonly request: ReceiveRequest;
  readonly events: EventRelay;
  readonly inboxes: ReceiverInboxes;
  readonly link: Link;
  readonly moveState: MoveState;
}

/** What all parts of one transfer share. */
interface Transfer extends Connection {
  readonly order: Order;
  readonly session: Session;
  readonly definition: Definition | undefined;
  readonly budget: MemoryBudget;
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
  const events = new EventRelay(request.onEvent);
  const call = startCall('receive', { ...request, onEvent: events.listener });
  const { reporter } = call;
  const inboxes = new ReceiverInboxes();
  using link = new Link(request.channel, {
    peer: SOURCE,
    listener: inboxes,
    peerTimeoutMs: 1000 * (request.firstTimeout ?? DEFAULT_FIRST_TIMEOUT_SECONDS),
  });
  const moveState: MoveState = { stage: 'check', target: new TargetDisks([]), ledger: undefined };
  try {
    const connected: Call = { ...call, signal: AbortSignal.any([call.signal, link.lost]) };
    return await receive({ call: connected, request, events, inboxes, link, moveState });
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

async function receive(connection: Connection): Promise<ReceiveResult> {
  const { call, request, events, link, moveState } = connection;
  const order = await link.expect('order', call.signal);
  link.peerTimeoutMs = order.peerTimeout * 1000;
  events.attach(link);
  const { os, inspected, guard, disks, writable } = await checkOrder(order, request, call);
  moveState.target = new TargetDisks(disks);

  const debugged: Call = { ...call, options: { ...call.options, debug: order.debug } };
  await using session = await openSession(debugged, { os, inspected, disks: writable, diskLock: 'exclusive' });
  const { instance, reporter, signal } = session;
  await assertTargetsUnused(session, { forceInUse: order.forceInUse, guard });
  await using source = order.define === undefined ? undefined : await openDefineSource(order.define.source, request);
  const definition = source && (await checkDefinition(connection, { order, session, source }));
  const window = windowFor(disks.length);
  const targets = await describeTargets(inspected, disks, signal);
  const ready: Ready = { kind: 'ready', instance: instance.name, node: hostname(), window, disks: targets };
  const result = { moveId: order.moveId, instance: instance.name, disks, warnings: reporter.warnings };
  await checkSessionParameters(session);
  if (order.dryRun) {
    await link.send(ready);
    await endOfChecks(connection);
    return { ...result, dryRun: true };
  }
  moveState.ledger = await MoveLedger.open(request.stateDirectory, order, { target: instance.name, disks: moveState.target.states });
  const transfer: Transfer = { ...connection, order, session, definition, budget: new MemoryBudget(DEFAULT_BUDGET_BYTES) };
  if (order.live === undefined) await receiveDisks(transfer, disks, ready);
  else await receiveLive(transfer, order.live, ready);

  if (definition !== undefined) definition.native = await expectNative(connection, signal);
  await link.expect('prepare', signal);
  if (order.rename) await rename(transfer);
  try {
    if (definition !== undefined) await define(transfer, definition);
    moveState.stage = 'commit';
    await link.send({ kind: 'prepared' });
    await link.expect('commit', signal);
    return await commit(transfer, { ...result, dryRun: false });
  } catch (error) {
    if (moveState.ledger.mayBeCommitted) throw error;
    await definition?.takeBack(session);
    throw error;
  }
}

/** The source still checks on its own side, and would take our end for a lost connection. An older source only closes the channel. */
async function endOfChecks({ call, link, request }: Connection): Promise<void> {
  try {
    await link.expect('acknowledged', call.signal);
  } catch {
    request.signal?.throwIfAborted();
  }
}

async function openDefineSource(address: string, { openSource }: ReceiveRequest): Promise<InstanceSource> {
  if (openSource !== undefined) return await openSource(address);
  throw new GantryError('PEER_REFUSED', { message: `this receiver cannot define instances in ${terminalSafe(address)}` });
}

interface DefinitionParts extends Pick<Transfer, 'order' | 'session'> {
  readonly source: InstanceSource;
}

/** Before anything is written. */
async function checkDefinition(connection: Connection, { order, session, source }: DefinitionParts): Promise<Definition> {
  const native = await expectNative(connection, session.signal);
  const definition = new Definition({ ...order.define, source }, { instance: session.instance, native }, order.moveId);
  await definition.check(session.signal);
  const { instance, reporter } = session;
  const moved = order.disks.map(({ disk }) => disk);
  warnOfOtherDisks(instance, moved, { how: 'moved', reporter });
  return definition;
}

/** The source's own description of the instance; untrusted. */
async function expectNative({ inboxes, link }: Connection, signal: AbortSignal): Promise<readonly NativeFile[]> {
  const described = await link.expect('described', signal);
  try {
    return inboxes.native.take(described);
  } catch (error) {
    throw error instanceof WireProblem ? garbageError(SOURCE, error.message, error) : error;
  }
}

async function define({ session, link, moveState }: Transfer, definition: Definition): Promise<void> {
  moveState.stage = 'define';
  await definition.define(session);
  await link.send({ kind: 'defined', name: definition.name });
}

async function receiveDisks(transfer: Transfer, disks: readonly number[], ready: Ready): Promise<void> {
  const { order, session, inboxes, link, moveState } = transfer;
  const { instance, reporter, signal } = session;
  const incoming = disks.map((disk) => {
    const { stored, made } = inboxes.open(disk, ready.window, (bytes) => void link.sendCredit(disk, bytes).catch(() => undefined));
    return { disk, stored, made };
  });
  moveState.stage = 'transfer';
  reporter.stage(`receiving ${terminalSafe(order.instance)} of ${terminalSafe(order.node)} into ${instance.name}`);
  await link.send(ready);
  await sideBySide(incoming, incoming.length, signal, (disk, signal) => importDisk(transfer, disk, signal));
}

async function receiveLive(transfer: Transfer, live: LiveOrder, ready: Ready): Promise<void> {
  const { order, session, moveState } = transfer;
  assertReadsPlaces(session.os);
  moveState.stage = 'transfer';
  const onState = (disk: number, state: 'partial' | 'complete'): void => moveState.target.set(disk, state);
  await receiveRounds({ ...transfer, live, window: ready.window, onState }, async () => {
    session.reporter.stage(
      `receiving ${terminalSafe(order.instance)} of ${terminalSafe(order.node)} into ${session.instance.name} in rounds`,
    );
    await transfer.link.send(ready);
  });
}

async function importDisk(transfer: Transfer, incoming: IncomingDisk & { readonly disk: number }, signal: AbortSignal): Promise<void> {
  const { disk, stored, made } = incoming;
  const { order, session, link, inboxes, budget, moveState } = transfer;
  const { os, inspected, reporter } = session;
  reporter.disk(disk, 'waiting');
  await orAbort(stored.started, signal);
  await reportPhases(reporter, disk, async () => {
    await receiveDisk(session, {
      disk,
      signal,
      expectedBytes: order.disks.find((each) => each.disk === disk)?.plainBytes,
      pieces: (onProgress) => decodeLiveDump(stored, { made: () => orAbort(made, signal), budget, signal, onProgress }),
      forceInUse: order.forceInUse,
      checkFirst: (piece) => warnOfGpt({ disk, isRaw: os.definition.builtin, targetBytes: inspected.diskBytes[disk] }, piece, reporter),
      onTouch: () => moveState.target.set(disk, 'partial'),
    });
    moveState.target.set(disk, 'complete');
    // Already compared with our own count and digest; the source compares them too.
    const { frames, plainBytes, storedBytes, sha256 } = await made;
    await link.send({ kind: 'taken', disk, frames, plainBytes, storedBytes, sha256 });
    inboxes.close(disk);
  });
}

/** Gives the system on the disks, which has the instance's name on the source, its name here. */
async function rename({ order, session, moveState }: Transfer): Promise<void> {
  const { os, instance, disks, reporter, signal, hooks } = session;
  moveState.stage = 'rename';
  reporter.stage(`renaming ${terminalSafe(order.instance)} to ${instance.name}`);
  const named = { ...instance, name: order.instance };
  // The transfer took a while: a guest may have been started meanwhile.
  for (const disk of disks) await assertStillUnused(instance, disk, { force: order.forceInUse, signal });
  await runAndFlush(instance, disks, () => runRenameScript(os, { ...hooks('rename'), instance: named, newName: instance.name }));
}

/** Once the record is on disk the move is committed, even if the connection is lost. */
async function commit({ link, session, moveState, definition }: Transfer, result: ReceiveResult): Promise<ReceiveResult> {
  const { ledger, target } = moveState;
  const { reporter } = session;
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
    const notStarted = definition?.start === true ? `, and ${definition.name} was not started` : '';
    reporter.warn(`the move is committed here, but the source did not acknowledge that: it may not know${notStarted}`);
    await definition?.settle(session.run);
    return { ...result, ...(definition && { defined: definition.outcome(false) }) };
  }
  if (definition === undefined) return result;
  const started = definition.start && (await startGuest(link, session, definition));
  await definition.settle(session.run);
  return { ...result, defined: definition.outcome(started) };
}

/** The move is committed: a failure is a warning. */
async function startGuest(link: Link, { run, reporter }: Session, definition: Definition): Promise<boolean> {
  let problem: string | undefined;
  try {
    await definition.startGuest({ run, reporter, signal: AbortSignal.timeout(START_MS) });
  } catch (error) {
    problem = errorText(error);
    reporter.warn(`the move is committed, but ${definition.name} could not be started in ${definition.source}: ${problem}; start it there`);
  }
  const shown = problem === undefined ? {} : { problem: problem.slice(0, MAX_PROBLEM_CHARACTERS) };
  await link.send({ kind: 'started', ...shown }).catch(() => undefined);
  return problem === undefined;
}

function undecidedError(moveId: string, cause: unknown): GantryError {
  return new GantryError('MOVE_UNDECIDED', {
    message: `the record that the move is committed could neither be made durable nor be removed: ${errorText(cause)}`,
    hint: `Once the state directory is writable, ask on this machine: gantry receive --outcome ${moveId}`,
    cause,
  });
}
