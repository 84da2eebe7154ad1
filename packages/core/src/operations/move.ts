import { randomBytes } from 'node:crypto';
import { setInterval as every } from 'node:timers';
import type { PeerChannel } from '@gantry/transport';
import { RateLimiter } from '@gantry/transport';
import { beginRun } from '../flow/session.ts';
import { chooseOs } from '../flow/choose-os.ts';
import { describeEmptySource, openDiskSource, untilLost } from '../flow/disk-source.ts';
import { chooseLevel } from '../frames/codecs/levels.ts';
import { DEFAULT_BUDGET_BYTES, encodeDump } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { DumpSummary } from '../frames/types.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { SnapshotChoice } from '../flow/take-snapshots.ts';
import { takeSnapshots } from '../flow/take-snapshots.ts';
import type { InspectedDisks } from '../disks/inspect-disks.ts';
import { inspectDisks } from '../disks/inspect-disks.ts';
import type { Instance } from '../instances/model.ts';
import type { WritePlan } from '../report/events.ts';
import type { ConsentOptions } from '../flow/write-plan.ts';
import { assertConsent, planDisk } from '../flow/write-plan.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, createReporter, reportPhases } from '../report/reporter.ts';
import { assertOperation } from '../scripts/select.ts';
import { checkParameters } from '../scripts/parameters.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { terminalSafe } from '../report/terminal-text.ts';
import { describeFailure } from '../peer/failure.ts';
import { Link } from '../peer/link.ts';
import type { MoveStage, Order, PeerEvent, Ready } from '../peer/messages.ts';
import { Sender } from '../peer/sender.ts';
import { TargetDisks } from '../peer/target-disks.ts';
import { StartSpacing } from '../scripts/start-spacing.ts';
import { scriptHooks } from '../flow/script-hooks.ts';
import { selectDisks } from '../flow/select-disks.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { Snapshot } from '../snapshots/provider.ts';
import type { Run } from '../runs/journal.ts';

const FAST_LEVEL = 1;

export interface MoveRequest extends OperationOptions, SnapshotChoice, ConsentOptions {
  readonly instance: Instance;
  /** The channel to `gantry receive` on the peer. The caller disposes it. */
  readonly peer: PeerChannel;
  /** The target as the peer names it: an instance file there, or another address of an instance. */
  readonly to: string;
  /** Level of zstd; default 1, since nothing is kept and time counts. */
  readonly level?: number | undefined;
  /** These disks alone, by index. */
  readonly disks?: readonly number[] | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Runs the `rename` script of the definition on the peer, which gives the installed system the name of the target. */
  readonly rename?: boolean | undefined;
  /** Allows another OS definition on the peer than the one that exports the data. */
  readonly allowOtherOs?: boolean | undefined;
  /** Writes disks of the target that are in use, with a warning. */
  readonly forceInUse?: boolean | undefined;
  /** Maximum stored bytes per second, all disks together; no limit by default. */
  readonly bytesPerSecond?: number | undefined;
  /** Seconds without any message from the peer after which the move fails; default 60. */
  readonly peerTimeout?: number | undefined;
  /**
   * Seconds without progress of any disk after which the move fails; never by default. A peer that sends messages but makes no progress
   * fails it after twice `peerTimeout` at the latest.
   */
  readonly stallTimeout?: number | undefined;
}

export interface MovedDisk {
  readonly disk: number;
  readonly plainBytes: number;
  /** Bytes that went through the channel, and their SHA-256; both sides have compared them. */
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
  /** What was overwritten with what on the peer; with `dryRun`, what would be. */
  readonly plan: WritePlan;
  readonly dryRun: boolean;
  readonly warnings: readonly string[];
}

/** After a failure: how long the receiver may take to end its scripts and to report the state of its disks, ms. */
const LAST_WORD_MS = 20_000;
const SAY_MS = 3000;
const DEFAULT_PEER_TIMEOUT_SECONDS = 60;
const MAX_PEER_WARNINGS = 1000;

/** What all disks of one move share. */
interface Transfer {
  readonly request: MoveRequest;
  readonly os: SelectedOs;
  readonly instance: Instance;
  readonly diskBytes: readonly (number | undefined)[];
  readonly run: Run;
  readonly reporter: Reporter;
  readonly budget: MemoryBudget;
  readonly limiter: RateLimiter | undefined;
  readonly link: Link;
  readonly sender: Sender;
  readonly spacing: StartSpacing;
}

/** How far a move got, for the report when it fails. */
interface MoveState {
  readonly moveId: string;
  stage: MoveStage;
  readonly target: TargetDisks;
  /** Whether the peer may have committed without our having its answer. */
  undecided: boolean;
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
  const signal = request.signal ?? new AbortController().signal;
  const reporter = createReporter('move', request.onEvent);
  const level = chooseLevel('zstd', request.level ?? FAST_LEVEL);
  const os = await chooseOs(request.instance, 'export', request);
  if (request.rename === true) assertOperation(os, 'rename');
  const disks = selectDisks(request.instance, request.disks);
  const inspected = await inspectDisks(request.instance, { purpose: 'export', disks, signal });
  for (const { message, disk } of inspected.warnings) reporter.warn(message, disk);

  const moveState: MoveState = {
    moveId: randomBytes(16).toString('hex'),
    stage: 'connect',
    target: new TargetDisks(disks),
    undecided: false,
  };
  const { address } = request.peer;
  const sender = new Sender({
    peer: address,
    onEvent: relayTo(reporter),
    onState: (disk, state) => moveState.target.set(disk, state),
  });
  const peerTimeoutMs = 1000 * (request.peerTimeout ?? DEFAULT_PEER_TIMEOUT_SECONDS);
  const stallTimeoutMs = request.stallTimeout === undefined ? undefined : 1000 * request.stallTimeout;
  using link = new Link(request.peer, { peer: address, listener: sender, peerTimeoutMs, stallTimeoutMs });
  try {
    const both = AbortSignal.any([signal, link.lost]);
    return await move({ request: { ...request, level }, os, inspected, disks, reporter, link, sender, moveState }, both);
  } catch (error) {
    if (moveState.committed !== undefined) {
      reporter.warn(`the move is committed, but cleaning up after it failed: ${errorText(error)}`);
      return moveState.committed;
    }
    await link.sendFailure(describeFailure(error, moveState.stage), SAY_MS);
    const lastWord = await link.failureOfPeer(LAST_WORD_MS);
    moveState.target.learn(lastWord?.states ?? []);
    // A receiver that reports its own failure has not committed.
    if (lastWord !== undefined) moveState.undecided = false;
    throw explain(error, moveState, request, reporter);
  }
}

interface Session {
  readonly request: MoveRequest;
  readonly os: SelectedOs;
  readonly inspected: InspectedDisks;
  readonly disks: readonly number[];
  readonly reporter: Reporter;
  readonly link: Link;
  readonly sender: Sender;
  readonly moveState: MoveState;
}

async function move(
  { request, os, inspected, disks, reporter, link, sender, moveState }: Session,
  signal: AbortSignal,
): Promise<MoveResult> {
  const { instance, diskBytes } = inspected;
  const { peer } = request;
  await using run = await beginRun({ instance, disks, diskLock: 'shared', stateDirectory: request.stateDirectory, reporter, signal });
  await checkParameters(os, instance, scriptHooks('verify', { run, reporter, signal, debug: request.debug }));

  await link.send(composeOrder(request, { os, inspected, disks, moveState }));
  moveState.stage = 'check';
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
  if (request.dryRun === true) return { ...result, disks: [], plainBytes: 0, storedBytes: 0, dryRun: true };
  await assertConsent(plan, request, signal);

  moveState.stage = 'transfer';
  reporter.stage(`moving ${instance.name} to ${ready.instance} on ${peer.address}`);
  const limiter = request.bytesPerSecond === undefined ? undefined : new RateLimiter({ bytesPerSecond: request.bytesPerSecond });
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const spacing = new StartSpacing();
  const moved = await sendDisks({ request, os, instance, diskBytes, run, reporter, budget, limiter, link, sender, spacing }, disks, signal);

  if (request.rename === true) {
    moveState.stage = 'rename';
    reporter.stage(`renaming ${instance.name} to ${ready.instance} on ${peer.address}`);
  }
  await link.send({ kind: 'prepare' });
  await link.expect('prepared', signal);
  return await commit({ link, moveState, reporter, request }, signal, {
    ...result,
    disks: moved,
    plainBytes: moved.reduce((total, { plainBytes }) => total + plainBytes, 0),
    storedBytes: moved.reduce((total, { storedBytes }) => total + storedBytes, 0),
    dryRun: false,
  });
}

/** The peer's description of its disks comes from another machine: it is not trusted. */
function makePlan({ instance, diskBytes }: InspectedDisks, os: SelectedOs, ready: Ready): WritePlan {
  const disks = ready.disks.map(({ disk, target, holds, targetBytes }) => {
    const size = targetBytes === undefined ? {} : { targetBytes };
    const safe = { disk, target: terminalSafe(target), holds: terminalSafe(holds), ...size };
    return planDisk(safe, os.definition.builtin ? diskBytes[disk] : undefined);
  });
  return { from: instance.name, exported: instance.name, into: ready.instance, disks };
}

/** Between sending `commit` and its answer only the peer knows the outcome. A signal does not end this wait, the link's time-out does. */
async function commit(
  { link, moveState, reporter, request }: Pick<Session, 'link' | 'moveState' | 'reporter' | 'request'>,
  signal: AbortSignal,
  result: MoveResult,
): Promise<MoveResult> {
  moveState.stage = 'commit';
  signal.throwIfAborted();
  moveState.undecided = true;
  const reportWait = (): void =>
    reporter.stage(`waiting for the answer to the commit; if none comes, ask on the peer: gantry receive --outcome ${moveState.moveId}`);
  request.signal?.addEventListener('abort', reportWait);
  try {
    await link.send({ kind: 'commit' });
    await link.expect('committed', link.lost);
  } finally {
    request.signal?.removeEventListener('abort', reportWait);
  }
  moveState.undecided = false;
  moveState.committed = result;
  await link.send({ kind: 'acknowledged' }).catch(() => undefined);
  return result;
}

function composeOrder(
  request: MoveRequest,
  { os, inspected, disks, moveState }: Pick<Session, 'os' | 'inspected' | 'disks' | 'moveState'>,
): Order {
  const { instance, diskBytes } = inspected;
  return {
    kind: 'order',
    moveId: moveState.moveId,
    instance: instance.name,
    node: instance.primary_node,
    os: os.fullName,
    instanceFile: request.to,
    disks: disks.map((disk) => {
      const size = instance.disks[disk]?.size;
      const bytes = os.definition.builtin ? diskBytes[disk] : undefined;
      return { disk, ...(size === undefined ? {} : { size }), ...(bytes === undefined ? {} : { plainBytes: bytes }) };
    }),
    rename: request.rename === true,
    allowOtherOs: request.allowOtherOs === true,
    forceVariant: request.forceVariant === true,
    forceInUse: request.forceInUse === true,
    dryRun: request.dryRun === true,
    debug: request.debug === true,
    peerTimeout: request.peerTimeout ?? DEFAULT_PEER_TIMEOUT_SECONDS,
  };
}

/** Takes snapshots of the disks, sends them side by side, and removes the snapshots. */
async function sendDisks(transfer: Transfer, disks: readonly number[], signal: AbortSignal): Promise<MovedDisk[]> {
  const { request, reporter, instance, run } = transfer;
  await using held = await takeSnapshots(request, disks, { instance, run, reporter, signal });
  using watch = watchStall(transfer);
  const all = AbortSignal.any([signal, watch.signal]);
  return await sideBySide(held.snapshots, request.parallel ?? DEFAULT_PARALLEL_DISKS, all, (snapshot, signal) =>
    reportPhases(reporter, snapshot.index, () => sendDisk(transfer, snapshot, untilLost(snapshot, signal))),
  );
}

async function sendDisk(transfer: Transfer, snapshot: Snapshot, signal: AbortSignal): Promise<MovedDisk> {
  const { request, os, instance, diskBytes, run, reporter, budget, limiter, link, sender, spacing } = transfer;
  const disk = snapshot.index;
  const hooks = {
    ...scriptHooks('export', { run, reporter, signal, debug: request.debug, disk }),
    beforeStart: () => spacing.turn(signal),
  };
  await using source = openDiskSource(os, { ...hooks, instance, disk, view: snapshot, diskBytes: diskBytes[disk] });
  const tell = reporter.progressOf(disk, () => source.expectedBytes());
  const encoder = encodeDump(source, { codec: 'zstd', level: request.level, budget, signal, onProgress: tell });
  const summary: DumpSummary = await sender.send(link, disk, { ...encoder, limiter }, signal);
  const { plainBytes, storedBytes, sha256 } = summary;
  tell(plainBytes, storedBytes, true);
  if (plainBytes === 0) reporter.warn(describeEmptySource(os, diskBytes[disk]), disk);
  return { disk, plainBytes, storedBytes, sha256 };
}

/** Aborts when no disk makes progress for as long as the request allows. */
function watchStall({ request, sender }: Transfer): Disposable & { readonly signal: AbortSignal } {
  const stalled = new AbortController();
  const limitMs = 1000 * (request.stallTimeout ?? Infinity);
  const timer = every(
    () => {
      if (sender.stalledMs(performance.now()) <= limitMs) return;
      stalled.abort(
        new GantryError('PEER_STALLED', {
          message: `no byte of any disk has moved for ${request.stallTimeout} s`,
          details: sender.where(),
          hint: 'Above is what each disk waited for; a larger --stall-timeout waits longer.',
        }),
      );
    },
    Math.min(1000, limitMs / 4),
  );
  return { signal: stalled.signal, [Symbol.dispose]: () => clearInterval(timer) };
}

/** Relays script output and warnings of the peer. The number of warnings is limited, since they are kept for the result. */
function relayTo(reporter: Reporter): (event: PeerEvent) => void {
  let warnings = 0;
  return ({ script, stream = 'stderr', disk, text }) => {
    const line = terminalSafe(text);
    if (script !== undefined) {
      const about = disk === undefined ? {} : { disk };
      reporter.emit({ type: 'message', operation: reporter.operation, script: terminalSafe(script), stream, line, ...about });
    } else if (warnings < MAX_PEER_WARNINGS) {
      warnings += 1;
      reporter.warn(line, disk);
    }
  };
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
