import { randomBytes } from 'node:crypto';
import type { PeerChannel, Rate } from '@gantry/transport';
import { RateLimiter } from '@gantry/transport';
import { chooseOs } from '../flow/choose-os.ts';
import type { DefinedInstance } from '../flow/definition.ts';
import { sendRounds } from '../flow/live-out.ts';
import { assertLivePossible } from '../flow/live-request.ts';
import type { OrderRequest, RemoteDefinition } from '../flow/move-order.ts';
import { composeOrder, DEFAULT_PEER_TIMEOUT_SECONDS, makePlan } from '../flow/move-order.ts';
import type { OriginOptions, OriginOutcome } from '../flow/origin.ts';
import { Origin } from '../flow/origin.ts';
import type { DumpedDisk, OutgoingRequest } from '../flow/out.ts';
import { sendDisks } from '../flow/out.ts';
import { relayTo } from '../flow/peer-relay.ts';
import { sessionChecks, snapshotChecks } from '../flow/plan-checks.ts';
import { QuietSource } from '../flow/quiet-source.ts';
import { assertAllMoved, selectDisks } from '../flow/select-disks.ts';
import type { Call, Session } from '../flow/session.ts';
import { checkSessionParameters, inspectFor, openSession, startCall } from '../flow/session.ts';
import { watchStall } from '../flow/stall-watch.ts';
import { assertReadableWithoutGuest } from '../flow/without-guest.ts';
import type { ConsentOptions } from '../flow/write-plan.ts';
import { assertConsent } from '../flow/write-plan.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import { describeFailure } from '../peer/failure.ts';
import { Link } from '../peer/link.ts';
import type { MoveStage, Ready } from '../peer/messages.ts';
import { sendNative } from '../peer/native-inbox.ts';
import { Sender } from '../peer/sender.ts';
import { TargetDisks } from '../peer/target-disks.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { LiveRound, PlanCheck, WritePlan } from '../report/events.ts';
import { withFirstError } from '../report/first-error.ts';
import type { Reporter } from '../report/reporter.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import { assertOperation } from '../scripts/select.ts';

const FAST_LEVEL = 1;

export interface MoveRequest extends OutgoingRequest, ConsentOptions, OrderRequest {
  /** The channel to `gantry receive` on the peer. The caller disposes it. */
  readonly peer: PeerChannel;
  /** What is to become of the instance where it is described. */
  readonly origin?: OriginOptions | undefined;
  /** Maximum stored bytes per second, all disks together; no limit by default. */
  readonly bytesPerSecond?: Rate | undefined;
  /**
   * Seconds without progress of any disk after which the move fails; never by default. A peer that sends messages but makes no progress
   * fails it after twice `peerTimeout` at the latest.
   */
  readonly stallTimeout?: number | undefined;
}

export interface MovedDisk {
  readonly disk: number;
  readonly plainBytes: number;
  /** Bytes that went through the channel, and their SHA-256; both sides have compared them. With rounds: those of the last. */
  readonly storedBytes: number;
  readonly sha256: string;
}

export interface MoveResult {
  readonly moveId: string;
  readonly instance: string;
  /** The instance's name on the peer. */
  readonly target: string;
  /** The peer's address, and its name for itself. */
  readonly peer: string;
  readonly node: string;
  readonly disks: readonly MovedDisk[];
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** Of a live move: all of its rounds. */
  readonly rounds?: readonly LiveRound[];
  /** From when the instance was asked to stop or pause until the commit; absent where it did not run. */
  readonly downtimeMs?: number;
  /** What was overwritten with what on the peer; with `dryRun`, what would be. */
  readonly plan: WritePlan;
  /** Where it became known on the peer, if that was asked for. */
  readonly defined?: DefinedInstance;
  /** What was done where the instance is described here, if anything was asked for. */
  readonly origin?: OriginOutcome;
  readonly dryRun: boolean;
  /** With `dryRun`: what was checked, here and on the peer. */
  readonly checks?: readonly PlanCheck[];
  readonly warnings: readonly string[];
}

/** After a failure: how long the receiver may take to end its scripts and to report the state of its disks, ms. */
const LAST_WORD_MS = 20_000;
const SAY_MS = 3000;

/** How far a move got, for the report when it fails. */
interface MoveState {
  readonly moveId: string;
  stage: MoveStage;
  readonly target: TargetDisks;
  /** Whether the peer may have committed without our having its answer. */
  undecided: boolean;
  /** Whether the peer's last word after a failure was waited for. */
  learned: boolean;
  /** The result, once the peer has committed: later failures do not change it. */
  committed?: MoveResult;
}

/**
 * Moves the disks of an instance to a peer: export scripts here, import scripts there, nothing stored in between. When this
 * resolves, the peer has committed, and the copy here can be removed. When it rejects, the instance here is unchanged, and warnings have
 * reported the state of each disk on the peer; after `MOVE_UNDECIDED` the peer must be asked.
 *
 * @throws GantryError, or the reason of the signal
 */
export function moveInstance(request: MoveRequest): Promise<MoveResult> {
  return withFirstError(() => runMove(request));
}

async function runMove(request: MoveRequest): Promise<MoveResult> {
  const call = startCall('move', request);
  const { reporter } = call;
  const level = chooseLevel('zstd', request.level ?? FAST_LEVEL);
  const os = await chooseOs(request.instance, 'export', request);
  if (request.live !== undefined) assertLivePossible(request.live, os);
  if (request.rename === true) assertOperation(os, 'rename');
  const disks = selectDisks(request.instance, request.disks);
  assertAllMoved(request.instance, disks, { starts: request.define?.start === true, undefines: request.origin?.undefine === true });
  const inspected = await inspectFor(call, request.instance, { purpose: 'export', disks });

  const moveId = randomBytes(16).toString('hex');
  const moveState: MoveState = { moveId, stage: 'connect', target: new TargetDisks(disks), undecided: false, learned: false };
  const { address } = request.peer;
  const onState = (disk: number, state: 'partial' | 'complete'): void => moveState.target.set(disk, state);
  const sender = new Sender({ peer: address, onEvent: relayTo(reporter), onState });
  const peerTimeoutMs = 1000 * (request.peerTimeout ?? DEFAULT_PEER_TIMEOUT_SECONDS);
  const stallTimeoutMs = request.stallTimeout === undefined ? undefined : 1000 * request.stallTimeout;
  using link = new Link(request.peer, { peer: address, listener: sender, peerTimeoutMs, stallTimeoutMs });
  try {
    const connected: Call = { ...call, signal: AbortSignal.any([call.signal, link.lost]) };
    await using session = await openSession(connected, { os, inspected, disks, diskLock: 'shared' });
    await checkSessionParameters(session);
    const origin = request.origin && new Origin(request.origin, session, moveId);
    return await moveOrGiveUp({ request, level, session, link, sender, moveState, origin });
  } catch (error) {
    if (moveState.committed !== undefined) {
      reporter.warn(`the move is committed, but cleaning up after it failed: ${errorText(error)}`);
      return moveState.committed;
    }
    await learnOutcome(error, link, moveState);
    throw explain(error, moveState, request, reporter);
  }
}

/** What was done where the instance is described is undone while its locks are held. */
async function moveOrGiveUp(parts: Move): Promise<MoveResult> {
  const { link, moveState, origin } = parts;
  try {
    return await move(parts);
  } catch (error) {
    if (moveState.committed === undefined) {
      await learnOutcome(error, link, moveState);
      await origin?.afterFailure(moveState);
    }
    throw error;
  }
}

/** Says to the peer that the move fails, and takes its last word. */
async function learnOutcome(error: unknown, link: Link, moveState: MoveState): Promise<void> {
  if (moveState.learned) return;
  moveState.learned = true;
  await link.sendFailure(describeFailure(error, moveState.stage), SAY_MS);
  const lastWord = await link.failureOfPeer(LAST_WORD_MS);
  moveState.target.learn(lastWord?.states ?? []);
  // A receiver that reports its own failure has not committed.
  if (lastWord !== undefined) moveState.undecided = false;
}

/** What the stages of one move share. */
interface Move {
  readonly request: MoveRequest;
  readonly level: number | undefined;
  readonly session: Session;
  readonly link: Link;
  readonly sender: Sender;
  readonly moveState: MoveState;
  readonly origin: Origin | undefined;
}

async function move(parts: Move): Promise<MoveResult> {
  const { request, session, link, sender, moveState, origin } = parts;
  const { os, instance, inspected, reporter, signal } = session;
  const { peer, define, native = [] } = request;
  const staysPaused = request.live?.stillness.kind === 'paused';
  await origin?.check({ startsThere: define?.start === true && define.newIdentity !== true && !staysPaused });
  await link.send(composeOrder(request, session, moveState.moveId));
  moveState.stage = 'check';
  if (define !== undefined) await sendNative(link, native);
  const ready = await link.expect('ready', signal);
  sender.window = ready.window;
  const plan = makePlan(inspected, os, ready);
  reporter.emit({ type: 'plan', operation: 'move', ...plan });
  const result = {
    moveId: moveState.moveId,
    instance: instance.name,
    target: ready.instance,
    peer: peer.address,
    node: terminalSafe(ready.node),
    plan,
    warnings: reporter.warnings,
  };
  if (request.dryRun === true) {
    const checks = await checksOf(parts, ready);
    await link.send({ kind: 'acknowledged' }).catch(() => undefined);
    return { ...result, disks: [], plainBytes: 0, storedBytes: 0, dryRun: true, checks };
  }
  await assertConsent(plan, request, signal);

  if (request.live === undefined && request.origin?.stop === true) {
    await assertReadableWithoutGuest(request, session);
    await origin?.stop();
  }
  moveState.stage = 'transfer';
  reporter.stage(`moving ${instance.name} to ${ready.instance} on ${peer.address}`);
  await using quiet = request.live === undefined ? undefined : new QuietSource(session, request.live.stillness, request, origin);
  const moved = await transfer(parts, quiet);

  if (request.rename === true) {
    moveState.stage = 'rename';
    reporter.stage(`renaming ${instance.name} to ${ready.instance} on ${peer.address}`);
  }
  // The guest may have changed it while it shut down.
  if (define !== undefined) await sendNative(link, (await origin?.native()) ?? native);
  await link.send({ kind: 'prepare' });
  const defined = define && (await expectDefined(parts, define));
  await link.expect('prepared', signal);
  return await commit(parts, { ...result, ...(defined && { defined }), ...moved, dryRun: false }, quiet);
}

/** What was checked before a dry run ends, here and by the peer. */
async function checksOf({ request, session, link }: Move, { node, instance, disks }: Ready): Promise<readonly PlanCheck[]> {
  const { live, origin, define, peer } = request;
  const isShutDown = origin?.stop === true;
  if (live === undefined && isShutDown) await assertReadableWithoutGuest(request, session);
  const version = link.peerVersion === undefined ? '' : `, with Gantry ${terminalSafe(link.peerVersion)}`;
  return [
    ...sessionChecks(session),
    ...(live === undefined && !isShutDown ? await snapshotChecks(request, session) : []),
    { check: 'peer', says: `${peer.address} is ${terminalSafe(node)}${version}, and takes it as ${instance}` },
    ...disks.map(({ disk, target }) => ({ check: 'disk', disk, says: `${terminalSafe(target)} is large enough, and not in use` }) as const),
    ...(define === undefined ? [] : [{ check: 'define', says: `${instance} can be defined in ${define.source} on the peer` } as const]),
  ];
}

async function transfer(
  { request, level, session, link, sender, origin }: Move,
  quiet: QuietSource | undefined,
): Promise<Pick<MoveResult, 'disks' | 'plainBytes' | 'storedBytes' | 'rounds'>> {
  const { live, stallTimeout } = request;
  const limiter = request.bytesPerSecond === undefined ? undefined : new RateLimiter({ bytesPerSecond: request.bytesPerSecond });
  if (live !== undefined && quiet !== undefined) {
    const { disks, rounds } = await sendRounds({ session, link, sender, live, quiet, request, stallTimeout, level, limiter });
    return { disks: movedDisks(disks), ...totalsOf(rounds), rounds };
  }
  const sent = await sendDisks(session, {
    ...request,
    guest: origin?.isDown === true ? undefined : request.guest,
    codec: 'zstd',
    level,
    take: (disk, dump, signal) => sender.send(link, disk, { ...dump, limiter }, signal),
    watch: () => watchStall(sender, stallTimeout),
  });
  const disks = movedDisks(sent);
  return { disks, ...totalsOf(disks) };
}

function movedDisks(sent: readonly DumpedDisk[]): readonly MovedDisk[] {
  return sent.map(({ index, summary: { plainBytes, storedBytes, sha256 } }) => ({ disk: index, plainBytes, storedBytes, sha256 }));
}

function totalsOf(parts: readonly Pick<MovedDisk, 'plainBytes' | 'storedBytes'>[]): Pick<MoveResult, 'plainBytes' | 'storedBytes'> {
  const sum = (key: 'plainBytes' | 'storedBytes'): number => parts.reduce((total, part) => total + part[key], 0);
  return { plainBytes: sum('plainBytes'), storedBytes: sum('storedBytes') };
}

async function expectDefined(
  { link, moveState, session: { reporter, signal } }: Move,
  { source }: RemoteDefinition,
): Promise<DefinedInstance> {
  moveState.stage = 'define';
  reporter.stage(`defining it in ${source} on the peer`);
  const { name } = await link.expect('defined', signal);
  return { source, name: terminalSafe(name), started: false };
}

/** Between sending `commit` and its answer only the peer knows the outcome. A signal does not end this wait, the link's time-out does. */
async function commit(parts: Move, result: MoveResult, quiet: QuietSource | undefined): Promise<MoveResult> {
  const { link, moveState, origin, request } = parts;
  const { reporter, signal } = parts.session;
  moveState.stage = 'commit';
  await quiet?.mayBeCommitted({ moveId: moveState.moveId, peer: request.peer.address });
  await origin?.beforeCommit();
  signal.throwIfAborted();
  moveState.undecided = true;
  const reportWait = (): void =>
    reporter.stage(`waiting for the answer to the commit; if none comes, ask on the peer: gantry receive --outcome ${moveState.moveId}`);
  request.signal?.addEventListener('abort', reportWait);
  try {
    await link.send({ kind: 'commit' });
    await link.expect('committed', link.lost);
  } catch (error) {
    // A receiver that reports its own failure has not committed.
    if ((await link.failureOfPeer(SAY_MS)) === undefined) await quiet?.settle('undecided');
    throw error;
  } finally {
    request.signal?.removeEventListener('abort', reportWait);
  }
  moveState.undecided = false;
  const downtimeMs = quiet?.downtimeMs;
  const committed = downtimeMs === undefined ? result : { ...result, downtimeMs };
  moveState.committed = committed;
  await quiet?.settle('committed');
  await link.send({ kind: 'acknowledged' }).catch(() => undefined);
  return await afterCommit(parts, committed);
}

/** Nothing here makes the move fail: what could not be done is a warning. */
async function afterCommit({ request, link, moveState, session, origin }: Move, result: MoveResult): Promise<MoveResult> {
  const isToStart = request.define?.start === true;
  const problem = isToStart ? await startProblem(link) : undefined;
  if (problem !== undefined) {
    const { name = '', source = '' } = result.defined ?? {};
    session.reporter.warn(`the move is committed, but ${name} may not run in ${source} on the peer (${problem}): start it there`);
  }
  const isThere = problem === undefined;
  const defined = result.defined && { defined: { ...result.defined, started: isToStart && isThere } };
  moveState.committed = { ...result, ...defined };
  const outcome = await origin?.afterCommit({ isThere });
  moveState.committed = { ...moveState.committed, ...(outcome && { origin: outcome }) };
  return moveState.committed;
}

/** Why the target was not started on the peer, or is not known to have been. */
async function startProblem(link: Link): Promise<string | undefined> {
  try {
    const { problem } = await link.expect('started', link.lost);
    return problem === undefined ? undefined : terminalSafe(problem);
  } catch (error) {
    return errorText(error);
  }
}

/** Reports the state of both sides. @returns the error to fail with */
function explain(error: unknown, { moveId, stage, undecided, target }: MoveState, request: MoveRequest, reporter: Reporter): unknown {
  const { peer, instance } = request;
  if (undecided) {
    return new GantryError('MOVE_UNDECIDED', {
      message: `the connection to ${peer.address} was lost during the commit: only the peer knows whether ${instance.name} is there now`,
      details: [`move id: ${moveId}`, errorText(error)],
      hint: `Do not start it on either side before you have asked on the peer: gantry receive --outcome ${moveId}`,
      cause: error,
    });
  }
  if (target.touched || stage === 'transfer') target.report(reporter.warn, `on ${peer.address}`);
  reporter.warn(`the move failed (stage: ${stage}): ${instance.name} is unchanged here: keep it`);
  return error;
}
