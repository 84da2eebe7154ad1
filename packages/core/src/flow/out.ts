import type { Codec } from '../frames/codecs/registry.ts';
import type { WrittenDump } from '../exports/layout-dump.ts';
import type { EncodedDump, EncodeOptions } from '../frames/encode-dump.ts';
import { DEFAULT_BUDGET_BYTES, encodeDump } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { ChangesReader, PlainReader } from '../frames/plain-reader.ts';
import type { NativeFile } from '../instances/inventory.ts';
import type { Instance } from '../instances/model.ts';
import { GantryError } from '../report/errors.ts';
import type { OperationOptions, Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import type { DiskData } from '../scripts/export-script.ts';
import { StartSpacing } from '../scripts/start-spacing.ts';
import type { Snapshot } from '../snapshots/provider.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { describeEmptySource, openChangedDisk, openDiskSource, openParts, refuseUri, untilLost } from './disk-source.ts';
import type { SnapshotHooks } from './hooks.ts';
import { beginHookedTime } from './hooks.ts';
import type { Session } from './session.ts';
import type { SnapshotSet, SnapshotSetOptions } from '../snapshots/snapshot-set.ts';
import type { SnapshotChoice } from './take-snapshots.ts';
import { takeSnapshots } from './take-snapshots.ts';
import type { ChangeTracking } from './track-changes.ts';

/** What an export and a move are asked for alike. */
export interface OutgoingRequest extends OperationOptions, SnapshotChoice {
  /** The instance whose disks are read. */
  readonly instance: Instance;
  /** What the source of the instance says of it in its own form. */
  readonly native?: readonly NativeFile[] | undefined;
  /** Level of the codec; default: the operation's own. */
  readonly level?: number | undefined;
  /** Only these disks, by index. */
  readonly disks?: readonly number[] | undefined;
  /** How many disks are under way at once; default 4. */
  readonly parallel?: number | undefined;
  /** Programs that are called around the snapshots. */
  readonly hooks?: SnapshotHooks | undefined;
}

/** Takes one dump to where it goes. Resolves when it is complete there. */
export type TakeDump = (disk: number, dump: EncodedDump, signal: AbortSignal) => Promise<WrittenDump>;

/** Makes the dump of one disk. */
export type EncodeDisk = (disk: number, source: PlainReader, options: EncodeOptions) => EncodedDump;

/** How an export reads only what changed. */
export interface ChangesOptions {
  readonly tracking: ChangeTracking;
  /** As `encode`, for a disk of which the frames that have not changed are left out. */
  readonly encode: (disk: number, source: ChangesReader, options: EncodeOptions) => EncodedDump;
  /** Called while the snapshots exist, when all dumps are where they go: makes the export complete. */
  readonly complete: (dumped: readonly DumpedDisk[], snapshots: Pick<SnapshotSet, 'settleMarks'>) => Promise<void>;
}

export interface OutgoingOptions
  extends Pick<OutgoingRequest, 'parallel' | 'hooks' | keyof SnapshotChoice>, Pick<SnapshotSetOptions, 'mayChange'> {
  readonly codec: Codec;
  readonly level: number | undefined;
  readonly take: TakeDump;
  /** A dump that is complete by itself if absent. */
  readonly encode?: EncodeDisk | undefined;
  /** Only for the built-in definition `raw`. */
  readonly changes?: ChangesOptions | undefined;
  /** Sends something else than the data of a disk: what is made of it, and how many bytes of the disk that took so far. */
  readonly filter?: ((disk: number, source: PlainReader, signal: AbortSignal) => FilteredDisk) | undefined;
  /** The disks do not change: they are read themselves, without snapshots. */
  readonly isStill?: boolean | undefined;
  /** Watches the disks from the time at which their snapshots exist: a signal that cancels them. */
  readonly watch?: (() => Disposable & { readonly signal: AbortSignal }) | undefined;
}

export interface FilteredDisk extends PlainReader, AsyncDisposable {
  readonly readBytes: number;
}

/** A disk that is complete where it went. */
export interface DumpedDisk {
  readonly index: number;
  readonly summary: WrittenDump;
  /** Bytes that the script said to expect. */
  readonly expectedBytes: number | undefined;
  /** What the script wrote to stderr. */
  readonly messages: readonly string[];
  /** Which provider took its snapshot. */
  readonly snapshot: string;
}

/** What the disks on their way share. */
interface Outgoing {
  readonly session: Session;
  readonly options: OutgoingOptions;
  /** One for all disks, so that memory does not grow with their number. */
  readonly budget: MemoryBudget;
  readonly spacing: StartSpacing;
}

/** Takes snapshots of the disks of a session, sends their dumps side by side, and removes the snapshots. */
export async function sendDisks(session: Session, options: OutgoingOptions): Promise<DumpedDisk[]> {
  const { disks, signal } = session;
  const { run, instance, reporter } = session;
  await using hooked = await beginHookedTime(options.hooks, { run, instance: instance.name, warn: reporter.warn, signal });
  await using held = options.isStill === true ? disksThemselves(session) : await takeSnapshots(options, disks, session);
  if (held.snapshots.every(({ kind }) => kind !== 'none')) await hooked.end();
  using watch = options.watch?.();
  const all = watch === undefined ? signal : AbortSignal.any([signal, watch.signal]);
  const outgoing: Outgoing = { session, options, budget: new MemoryBudget(DEFAULT_BUDGET_BYTES), spacing: new StartSpacing() };
  const dumped = await sideBySide(held.snapshots, options.parallel ?? DEFAULT_PARALLEL_DISKS, all, (snapshot, signal) =>
    reportPhases(session.reporter, snapshot.index, () => sendDisk(outgoing, snapshot, untilLost(snapshot, signal))),
  );
  await options.changes?.complete(dumped, held);
  return dumped;
}

function disksThemselves({ instance, disks, reporter }: Session): SnapshotSet {
  for (const index of disks) reporter.disk(index, 'waiting');
  return {
    snapshots: disks.map((index) => ({ index, kind: 'none', path: instance.disks[index]?.path ?? refuseUri(index) })),
    settleMarks: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** One disk, from its script (or the disk itself) to where it goes, which takes it as complete only after the script succeeded. */
async function sendDisk({ session, options, budget, spacing }: Outgoing, snapshot: Snapshot, signal: AbortSignal): Promise<DumpedDisk> {
  const { os, instance, inspected, reporter } = session;
  const { index } = snapshot;
  const diskBytes = snapshot.bytes ?? inspected.diskBytes[index];
  const hooks = { ...session.hooks('export', { disk: index, signal }), beforeStart: () => spacing.turn(signal) };
  const { filter, changes } = options;
  const raw = { disk: index, view: snapshot, diskBytes, signal };
  const changed = await changes?.tracking.changedFrames(snapshot, { bytes: diskBytes, open: () => openParts(raw) }, signal);
  if (changes !== undefined && changed !== undefined) {
    await using source = openChangedDisk(changed, raw);
    const encode = (o: EncodeOptions): EncodedDump => changes.encode(index, source, o);
    const summary = await dumpDisk(index, source, { ...options, encode, reporter, budget, signal });
    assertWholeDisk(index, summary, diskBytes);
    return { index, summary, expectedBytes: source.expectedBytes(), messages: [], snapshot: snapshot.kind };
  }
  await using source = openDiskSource(os, { ...hooks, instance, ...raw, skipCache: filter !== undefined });
  await using filtered = filter?.(index, source, signal);
  const encode = (o: EncodeOptions): EncodedDump => (options.encode ?? encodeWhole)(index, filtered ?? source, o);
  const summary = await dumpDisk(index, source, { ...options, encode, filtered, reporter, budget, signal });
  if (os.definition.builtin && filtered === undefined) assertWholeDisk(index, summary, diskBytes);
  if (summary.plainBytes === 0 && filtered === undefined) reporter.warn(describeEmptySource(os, diskBytes), index);
  return { index, summary, expectedBytes: source.expectedBytes(), messages: source.messages(), snapshot: snapshot.kind };
}

/** @throws GantryError `DISK_IO` if the dump of a disk itself has another size than the disk */
function assertWholeDisk(disk: number, { plainBytes }: WrittenDump, diskBytes: number | undefined): void {
  if (diskBytes === undefined || plainBytes === diskBytes) return;
  throw new GantryError('DISK_IO', {
    message: `disk ${disk} has ${diskBytes} bytes, but ${plainBytes} were read`,
    hint: 'Export it while nothing resizes it.',
    disk,
  });
}

interface DumpOptions extends Pick<OutgoingOptions, 'codec' | 'level' | 'take'> {
  readonly encode: (options: EncodeOptions) => EncodedDump;
  /** What is sent in the place of the data. */
  readonly filtered?: Pick<FilteredDisk, 'readBytes'> | undefined;
  readonly reporter: Reporter;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
}

/** What an export makes of a disk if nothing else is asked for. */
export const encodeWhole: EncodeDisk = (_disk, source, options) => encodeDump(source, options);

/** The data of one disk on its way to where it goes. */
export async function dumpDisk(disk: number, source: Pick<DiskData, 'expectedBytes'>, options: DumpOptions): Promise<WrittenDump> {
  const { codec, level, take, encode, filtered, reporter, budget, signal } = options;
  const reportTo = reporter.progressOf(disk, () => source.expectedBytes());
  const report: typeof reportTo = (plainBytes, ...rest) => reportTo(filtered?.readBytes ?? plainBytes, ...rest);
  const summary = await take(disk, encode({ codec, level, budget, signal, onProgress: report }), signal);
  report(summary.plainBytes, summary.storedBytes, true);
  return summary;
}
