import { orAbort } from '@gantry/transport';
import { PatchedDisk } from '../disks/patched-disk.ts';
import { DeviceReader } from '../disks/read-device.ts';
import { BlockDigests } from '../frames/block-digests.ts';
import type { DiskPart } from '../frames/changed-blocks.ts';
import { changedBlocks, digestBlocks } from '../frames/changed-blocks.ts';
import { FormatProblem } from '../frames/damage.ts';
import { decodeLiveDump } from '../frames/decode-live-dump.ts';
import type { MemoryBudget } from '../frames/memory-budget.ts';
import { readPatches } from '../frames/patch-stream.ts';
import type { PlainReader } from '../frames/plain-reader.ts';
import { sharedWorkQueue } from '../frames/work-queue.ts';
import type { Link } from '../peer/link.ts';
import type { LiveOrder, Order } from '../peer/messages.ts';
import { garbageError } from '../peer/peer-errors.ts';
import type { IncomingDisk, ReceiverInboxes } from '../peer/receiver-inboxes.ts';
import { MAX_DATA_BYTES } from '../peer/wire.ts';
import { GantryError } from '../report/errors.ts';
import { reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { warnOfGpt } from './check-data.ts';
import { refuseUri } from './disk-source.ts';
import type { Session } from './session.ts';
import { assertStillUnused } from './target-use.ts';

/*
 * The receiver's side of a move in rounds. Until the last one is complete, the disks are a mixture of several moments.
 */

export interface LiveReceiver {
  readonly session: Session;
  readonly order: Order;
  readonly live: LiveOrder;
  readonly link: Link;
  readonly inboxes: ReceiverInboxes;
  readonly budget: MemoryBudget;
  /** Of each disk, bytes. */
  readonly window: number;
  /** Called before anything can have been written, and when a disk is complete. */
  readonly onState: (disk: number, state: 'partial' | 'complete') => void;
}

/** A disk of the target, open and claimed until the last round is over. */
interface LiveTarget {
  readonly disk: number;
  readonly path: string;
  readonly patched: PatchedDisk;
  /** What is known of its contents: what was written. */
  readonly digests: BlockDigests;
}

/** Opens the disks; `ready` tells the source that they are. Resolves after the last round. */
export async function receiveRounds(receiver: LiveReceiver, ready: () => Promise<void>): Promise<void> {
  const { live, link, session } = receiver;
  const { signal } = session;
  await using stack = new AsyncDisposableStack();
  const targets: LiveTarget[] = [];
  for (const disk of receiver.order.disks) {
    const target = await openTarget(receiver, disk);
    stack.use(target.patched);
    targets.push(target);
  }
  await ready();
  if (live.compare) {
    await link.expect('compare', signal);
    session.reporter.stage('comparing what is on the disks');
    await sideBySide(targets, targets.length, signal, (target, signal) => sendContents(receiver, target, signal));
    await link.send({ kind: 'compared' });
  }
  for (let isLast = false; !isLast;) isLast = await receiveRound(receiver, targets);
}

async function openTarget({ session, order, live }: LiveReceiver, { disk, plainBytes }: Order['disks'][number]): Promise<LiveTarget> {
  const { instance, signal } = session;
  if (plainBytes === undefined) throw garbageError('the source', `it did not say how many bytes disk ${disk} has`);
  const path = instance.disks[disk]?.path ?? refuseUri(disk);
  const { forceInUse } = order;
  await assertStillUnused(instance, disk, { force: forceInUse, signal });
  const digests = new BlockDigests(plainBytes, live.blockBytes);
  return { disk, path, patched: await PatchedDisk.open(path, { forceInUse }), digests };
}

/** Reads a disk as far as the source's reaches, and sends the digests of its blocks. */
async function sendContents({ budget, link }: LiveReceiver, { disk, path, digests }: LiveTarget, signal: AbortSignal): Promise<void> {
  await using reader = new DeviceReader(path);
  const blocks = changedBlocks(firstBytes(reader, digests.diskBytes), digests, { budget, work: sharedWorkQueue(), signal });
  for await (const _block of blocks);
  for (let at = 0; at < digests.table.length; at += MAX_DATA_BYTES)
    await link.sendData(disk, digests.table.subarray(at, at + MAX_DATA_BYTES));
}

function firstBytes(reader: PlainReader, bytes: number): PlainReader {
  let left = bytes;
  return {
    async read(output) {
      if (left === 0) return undefined;
      const piece = await reader.read(output.subarray(0, left));
      if (piece === undefined) return undefined;
      const got = Math.min(left, typeof piece === 'number' ? piece : piece.zeros);
      left -= got;
      return typeof piece === 'number' ? got : { zeros: got };
    },
  };
}

/** @returns whether it was the last */
async function receiveRound(receiver: LiveReceiver, targets: readonly LiveTarget[]): Promise<boolean> {
  const { link, inboxes, session, window } = receiver;
  const { isLast } = await link.expect('round', session.signal);
  const incoming = targets.map((target) => {
    const { disk } = target;
    return { ...target, ...inboxes.open(disk, window, (bytes) => void link.sendCredit(disk, bytes).catch(() => undefined)) };
  });
  await link.send({ kind: 'listening' });
  await sideBySide(incoming, incoming.length, session.signal, (target, signal) =>
    reportPhases(session.reporter, target.disk, () => receivePatches(receiver, target, isLast, signal)),
  );
  return isLast;
}

async function receivePatches(
  receiver: LiveReceiver,
  { disk, patched, digests, stored, made }: LiveTarget & IncomingDisk,
  isLast: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { session, link, inboxes, budget, onState } = receiver;
  const onProgress = session.reporter.progressOf(disk, () => undefined);
  const onPart = (part: DiskPart): void => {
    onState(disk, 'partial');
    const targetBytes = session.inspected.diskBytes[disk];
    if (part.at === 0 && 'data' in part) warnOfGpt({ disk, isRaw: true, targetBytes }, part.data, session.reporter);
  };
  const pieces = decodeLiveDump(stored, { made: () => orAbort(made, signal), budget, signal, onProgress });
  try {
    await patched.write(noted(readPatches(pieces, digests), digests, onPart), signal);
  } catch (error) {
    throw error instanceof FormatProblem ? garbageError('the source', `disk ${disk}: ${error.message}`, error) : error;
  }
  const { frames, plainBytes, storedBytes, sha256, contents } = await made;
  if (digests.contents() !== contents) throw differentContents(disk);
  if (isLast) onState(disk, 'complete');
  // The source must not begin another round of this disk before.
  inboxes.close(disk);
  await link.send({ kind: 'taken', disk, frames, plainBytes, storedBytes, sha256, contents });
}

/** Notes what is about to be written. */
async function* noted(
  parts: AsyncIterable<DiskPart>,
  digests: BlockDigests,
  onPart: (part: DiskPart) => void,
): AsyncGenerator<DiskPart, void, undefined> {
  const { blockBytes } = digests;
  for await (const part of parts) {
    onPart(part);
    const first = part.at / blockBytes;
    if ('data' in part) {
      for (const [index, digest] of (await digestBlocks(part.data, blockBytes)).entries()) note(digests, first + index, digest);
    } else for (let index = 0; index * blockBytes < part.zeros; index += 1) digests.updateZeros(first + index);
    yield part;
  }
}

function note(digests: BlockDigests, block: number, digest: Uint8Array | undefined): void {
  if (digest === undefined) digests.updateZeros(block);
  else digests.update(block, digest);
}

function differentContents(disk: number): GantryError {
  return new GantryError('DUMP_DAMAGED', {
    message: `disk ${disk} does not contain what the source says after a round`,
    hint: 'Nothing was committed. Move again without --resume; if it happens again, please report it.',
    disk,
  });
}
