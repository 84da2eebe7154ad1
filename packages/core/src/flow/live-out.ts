import type { RateLimiter } from '@gantry/transport';
import { BlockDigests } from '../frames/block-digests.ts';
import { changedBlocks, SizeChanged } from '../frames/changed-blocks.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { PatchReader } from '../frames/patch-stream.ts';
import type { PlainReader } from '../frames/plain-reader.ts';
import { sharedWorkQueue } from '../frames/work-queue.ts';
import type { Link } from '../peer/link.ts';
import { garbageError } from '../peer/peer-errors.ts';
import type { Sender } from '../peer/sender.ts';
import { GantryError } from '../report/errors.ts';
import type { LiveRound } from '../report/events.ts';
import type { SnapshotConfig } from '../snapshots/snapshot-config.ts';
import type { LiveRequest } from './live-request.ts';
import { liveOrder } from './live-request.ts';
import type { DumpedDisk, FilteredDisk, OutgoingRequest } from './out.ts';
import { sendDisks } from './out.ts';
import type { QuietSource } from './quiet-source.ts';
import type { Session } from './session.ts';
import { watchStall } from './stall-watch.ts';

/*
 * The source's side of a move in rounds: each reads the disks completely and sends the blocks that differ from what the peer has.
 */

export interface LiveSource {
  readonly session: Session;
  readonly link: Link;
  readonly sender: Sender;
  readonly live: LiveRequest;
  readonly quiet: QuietSource;
  readonly request: OutgoingRequest;
  readonly stallTimeout: number | undefined;
  readonly level: number | undefined;
  readonly limiter: RateLimiter | undefined;
}

export interface SentRounds {
  readonly rounds: readonly LiveRound[];
  /** Of the last round. */
  readonly disks: readonly DumpedDisk[];
}

/** What the peer has, by the index of the disk. */
type Known = ReadonlyMap<number, BlockDigests>;

/** Sends all rounds. When this resolves, the disks of the peer are equal to those here, and the instance does not write. */
export async function sendRounds(source: LiveSource): Promise<SentRounds> {
  const { live, quiet } = source;
  const known = await whatPeerHas(source);
  let sent: SentRounds = { rounds: [], disks: [] };
  for (let round = 1; round <= live.rounds; round += 1) {
    if (round === live.rounds) await quiet.hold();
    sent = await sendRound(source, known, sent);
  }
  return sent;
}

async function whatPeerHas({ session, link, sender, live }: LiveSource): Promise<Known> {
  const { disks, inspected, signal, reporter } = session;
  const { blockBytes, compare } = liveOrder(
    live,
    disks.map((disk) => inspected.diskBytes[disk]),
  );
  const known = new Map(disks.map((disk) => [disk, new BlockDigests(inspected.diskBytes[disk] ?? refuse(disk), blockBytes)]));
  if (!compare) return known;
  reporter.stage('comparing what is on the disks of the peer');
  const filled = new Map<number, number>();
  sender.expectContents((disk, bytes) => {
    const { table = Buffer.alloc(0) } = known.get(disk) ?? {};
    const at = filled.get(disk) ?? 0;
    if (at + bytes.length > table.length) throw garbageError('the peer', `it sent too many digests of disk ${disk}`);
    table.set(bytes, at);
    filled.set(disk, at + bytes.length);
  });
  await link.send({ kind: 'compare' });
  await link.expect('compared', signal);
  sender.expectContents(undefined);
  return known;
}

async function sendRound(
  { session, link, sender, live, request, stallTimeout, level, limiter }: LiveSource,
  known: Known,
  before: SentRounds,
): Promise<SentRounds> {
  const { reporter, signal } = session;
  const round = before.rounds.length + 1;
  const isLast = round === live.rounds;
  // What libvirt offers of a disk is not always what its file contains: where it took the earlier ones, it takes that of a paused guest.
  const isStill = isLast && (live.stillness.kind !== 'paused' || !before.disks.some(({ snapshot }) => snapshot === 'libvirt'));
  const started = performance.now();
  reporter.stage(`round ${round} of ${live.rounds}`);
  await link.send({ kind: 'round', isLast });
  await link.expect('listening', signal);
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const disks = await sendDisks(session, {
    ...request,
    ...(isLast && { snapshotConfig: withoutFreezing(request.snapshotConfig) }),
    codec: 'zstd',
    level,
    isStill,
    mayChange: true,
    filter: (disk, source, signal) => filterUnchanged(source, known.get(disk) ?? refuse(disk), disk, { budget, sender, signal }),
    take: (disk, dump, signal) =>
      sender.send(
        link,
        disk,
        { ...dump, limiter, contents: () => known.get(disk)?.contents() ?? refuse(disk), moreFollows: !isLast },
        signal,
      ),
    watch: () => watchStall(sender, stallTimeout),
  });
  const sum = (key: 'plainBytes' | 'storedBytes'): number => disks.reduce((total, { summary }) => total + summary[key], 0);
  const durationMs = Math.round(performance.now() - started);
  const done: LiveRound = { round, plainBytes: sum('plainBytes'), storedBytes: sum('storedBytes'), durationMs };
  reporter.emit({ type: 'round', operation: reporter.operation, rounds: live.rounds, ...done });
  return { rounds: [...before.rounds, done], disks };
}

/** A paused guest cannot be frozen, and need not be. */
function withoutFreezing(config: SnapshotConfig | undefined): SnapshotConfig | undefined {
  if (config === undefined) return undefined;
  const { freeze: _freeze, thaw: _thaw, libvirt, ...rest } = config;
  return { ...rest, libvirt: libvirt && { ...libvirt, freeze: 'never' } };
}

function filterUnchanged(
  source: PlainReader,
  known: BlockDigests,
  disk: number,
  { budget, sender, signal }: { readonly budget: MemoryBudget; readonly sender: Sender; readonly signal: AbortSignal },
): FilteredDisk {
  let readBytes = 0;
  const onProgress = (bytes: number): void => {
    readBytes = bytes;
    sender.progressed(disk);
  };
  const reader = new PatchReader(changedBlocks(source, known, { budget, work: sharedWorkQueue(), signal, onProgress }));
  return {
    read: (output) =>
      reader.read(output).catch((error: unknown) => {
        throw error instanceof SizeChanged ? resized(disk, error) : error;
      }),
    get readBytes() {
      return readBytes;
    },
    [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
  };
}

function resized(disk: number, cause: SizeChanged): GantryError {
  return new GantryError('DISK_IO', {
    message: `disk ${disk} was resized during the move: ${cause.message}`,
    hint: 'Move while nothing resizes it.',
    disk,
    cause,
  });
}

function refuse(disk: number): never {
  throw new GantryError('DISK_KIND', {
    message: `cannot move disk ${disk} in live rounds: its size is not known`,
    hint: 'Attach the disk as a block device and give its path, or move without --live-rounds.',
    disk,
  });
}
