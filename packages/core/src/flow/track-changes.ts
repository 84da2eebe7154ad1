import { randomInt } from 'node:crypto';

import { ChangedFrames, RangesOutOfOrder } from '../frames/changed-frames.ts';
import { findDifferent, findUnequal } from '../frames/check-unchanged.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import type { PartsReader } from '../frames/plain-reader.ts';
import type { Instance } from '../instances/model.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import type { Distrust, KeptMark, KeptMarks } from '../snapshots/kept-marks.ts';
import { DISTRUST, KeptFile, MARKS } from '../snapshots/kept-marks.ts';
import type { ChangeMark, Snapshot, SnapshotProvider, SnapshotRequest } from '../snapshots/provider.ts';
import type { SnapshotSet } from '../snapshots/snapshot-set.ts';
import type { StateDirectory } from '../runs/state-directory.ts';

/*
 * What something trustworthy says of the changes since the parent export decides what is read of a disk, and nothing else: see
 * docs/decisions/0126-reading-what-changed.md.
 */

/** Every seventh export in a row reads everything, and compares what was said with what was found. */
const FULL_EVERY = 7;
/** How many of the frames that are said to be unchanged are read and compared anyway: one of a hundred, within these limits. */
const SAMPLED_OF = 100;
const MIN_SAMPLE = 16;
const MAX_SAMPLE = 256;

/** What the parent export says of a disk that is cut into frames by place. */
export interface TrackedParent {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly map: FrameMap;
  /** Of the text of the map, lower-case hexadecimal. */
  readonly sha256: string;
  readonly frameSize: number;
}

export interface TrackingOptions {
  readonly stateDirectory: StateDirectory;
  /** The store's id. */
  readonly store: string;
  readonly instance: Instance;
  /** By the index of the disk; those whose frames cannot be found by place are left out. */
  readonly parentDisks: ReadonlyMap<number, TrackedParent>;
  /** For marks that are of no use any more. */
  readonly providers: readonly SnapshotProvider[];
  readonly reporter: Pick<Reporter, 'stage' | 'warn'>;
  readonly signal: AbortSignal;
}

/** The snapshot of a disk. */
interface TrackedDisk {
  readonly bytes: number | undefined;
  readonly open: () => PartsReader & AsyncDisposable;
}

/** What is known of a disk, and how. */
interface Tracked {
  readonly kind: string;
  readonly mark: ChangeMark;
  /** Exports in a row that did not read the whole disk, with this one. */
  readonly partial: number;
  /** Everything was read, and is to be compared with what was said. */
  readonly check?: ChangedFrames;
}

/** The changes since the parent export, of the disks of one export. */
export class ChangeTracking {
  readonly #options: TrackingOptions;
  readonly #files: Files;
  /** The marks that this export can go on from. */
  readonly #marks: readonly KeptMark[];
  readonly #tracked = new Map<number, Tracked>();
  #kept: KeptMarks;
  #distrusted: readonly Distrust[];

  private constructor(options: TrackingOptions, files: Files, kept: KeptMarks, distrusted: readonly Distrust[]) {
    this.#options = options;
    this.#files = files;
    this.#marks = kept.disks;
    this.#kept = kept;
    this.#distrusted = distrusted;
  }

  /** Finds what earlier exports have kept, and removes marks that are of no use. @throws GantryError `STATE_UNUSABLE` */
  static async open(options: TrackingOptions): Promise<ChangeTracking> {
    const files = filesOf(options);
    const found = await files.marks.read();
    const isUsable = ({ index, map }: KeptMark): boolean => options.parentDisks.get(index)?.sha256 === map;
    const useless = [...found.stale, ...found.disks.filter((mark) => !isUsable(mark))];
    const kept = { disks: found.disks.filter(isUsable), stale: await forgetMarks(useless, options) };
    if (useless.length > 0) await files.marks.write(kept);
    return new ChangeTracking(options, files, kept, (await files.distrust.read()).distrusted);
  }

  /** What the snapshot of a disk is asked for. */
  request(index: number): NonNullable<SnapshotRequest['track']> {
    return { since: this.#markOf(index)?.mark };
  }

  /**
   * The frames of a snapshot that may have changed, after a sample of the others was compared; undefined if everything is to be read.
   *
   * @param disk its size, if that is known, and what opens the snapshot for reading
   * @throws the errors of reading; the signal's reason
   */
  async changedFrames(
    { index, kind, changes }: Snapshot,
    { bytes, open }: TrackedDisk,
    signal: AbortSignal,
  ): Promise<ChangedFrames | undefined> {
    if (changes === undefined) return this.#everything(index, `snapshots of the kind ${kind} do not say what changed`);
    const [kept, parent] = [this.#markOf(index), this.#options.parentDisks.get(index)];
    const tracked = { kind, mark: changes.mark, partial: 0 };
    this.#tracked.set(index, tracked);
    if (this.#warnIfDistrusted(index, kind)) return undefined;
    if (!changes.since.known) return this.#everything(index, changes.since.reason);
    if (kept === undefined || parent === undefined) return this.#everything(index, 'its parent has no map of it');
    // What is beyond the end that the parent knows is in no map, and need not be in what is said to have changed.
    if (bytes !== parent.map.plainBytes) return this.#everything(index, describeSize(parent.map.plainBytes, bytes));
    const changed = await this.#collect(index, parent, changes.since.ranges(signal), signal);
    if (changed === undefined) return undefined;
    if (kept.partial + 1 >= FULL_EVERY) {
      this.#tracked.set(index, { ...tracked, check: changed });
      return this.#everything(index, `and compared with what ${kind} says, as with every ${FULL_EVERY}th export`);
    }
    const compared = await this.#compareSample(index, { changed, parent, open }, signal);
    if (compared === undefined) return undefined;
    this.#tracked.set(index, { ...tracked, partial: kept.partial + 1 });
    const what = `${changed.changedBytes} of ${changed.diskBytes} bytes may have changed since ${this.#parentName(index)}`;
    this.#options.reporter.stage(`disk ${index}: ${what}; ${compared} of the other frames were compared`);
    return changed;
  }

  /** To be called with the map of each disk that was read. */
  async wasRead(index: number, map: FrameMap): Promise<void> {
    const { check, kind = '' } = this.#tracked.get(index) ?? {};
    const parent = this.#options.parentDisks.get(index);
    if (check === undefined || parent === undefined) return;
    const different = findUnequal(parent.map, map, check);
    if (different !== undefined) await this.#distrust(index, kind, `the frame at byte ${different} of disk ${index} had changed`);
  }

  /**
   * The export is complete: later ones go on from its marks. What is remembered is durable first, so that a mark is never taken for one of
   * another export. A failure is a warning: the next export reads everything.
   *
   * @param maps SHA-256 of the text of each frame map, by the index of the disk
   */
  async complete(set: Pick<SnapshotSet, 'settleMarks'>, maps: ReadonlyMap<number, string>): Promise<void> {
    const disks: KeptMark[] = [];
    for (const [index, { kind, mark, partial }] of this.#tracked) {
      const map = maps.get(index);
      if (map !== undefined && !this.#isDistrusted(kind)) disks.push({ index, mark, map, partial });
    }
    const { stale, disks: before } = this.#kept;
    try {
      await this.#files.marks.write({ disks, stale: [...stale, ...before] });
      await set.settleMarks((provider) => (this.#isDistrusted(provider) ? 'none' : 'latest'));
    } catch (error) {
      this.#options.reporter.warn(
        `could not keep what says what changes from now on (the next export reads everything): ${errorText(error)}`,
      );
    }
  }

  #markOf(index: number): KeptMark | undefined {
    return this.#marks.find((mark) => mark.index === index);
  }

  #parentName(index: number): string {
    return this.#options.parentDisks.get(index)?.reference ?? 'its parent';
  }

  #everything(index: number, why: string): undefined {
    this.#options.reporter.stage(`disk ${index}: everything is read${why.startsWith('and ') ? ' ' : ': '}${why}`);
    return undefined;
  }

  async #collect(
    index: number,
    { map, frameSize }: TrackedParent,
    ranges: Parameters<typeof ChangedFrames.collect>[2],
    signal: AbortSignal,
  ): Promise<ChangedFrames | undefined> {
    try {
      return await ChangedFrames.collect(frameSize, map.plainBytes, ranges);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof GantryError || error instanceof RangesOutOfOrder)) throw error;
      this.#options.reporter.warn(`everything is read: ${errorText(error)}`, index);
      return undefined;
    }
  }

  /** How many frames were compared; undefined if one differs. */
  async #compareSample(
    index: number,
    { changed, parent, open }: Pick<TrackedDisk, 'open'> & { readonly changed: ChangedFrames; readonly parent: TrackedParent },
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const frames = Math.ceil(changed.diskBytes / changed.frameSize);
    const count = Math.min(MAX_SAMPLE, Math.max(MIN_SAMPLE, Math.ceil(frames / SAMPLED_OF)));
    const sample = changed.sample(count, (below) => randomInt(below));
    await using reader = open();
    const different = await findDifferent(reader, parent, sample, signal);
    if (different === undefined) return sample.length;
    await this.#distrust(index, this.#tracked.get(index)?.kind ?? '', `the frame at byte ${different} of disk ${index} had changed`);
    return undefined;
  }

  #isDistrusted(provider: string): boolean {
    return this.#distrusted.some((each) => each.provider === provider);
  }

  #warnIfDistrusted(index: number, kind: string): boolean {
    const found = this.#distrusted.find(({ provider }) => provider === kind);
    if (found === undefined) return false;
    const { since, reason } = found;
    this.#options.reporter.warn(
      `everything is read: ${kind} is not trusted since ${since}, when ${reason}; ${this.#trustAgain(kind)}`,
      index,
    );
    return true;
  }

  /** Remembered at once: the export may still fail. */
  async #distrust(index: number, provider: string, reason: string): Promise<void> {
    const { partial = 0 } = this.#markOf(index) ?? {};
    const distrust = { provider, since: new Date().toISOString(), reason: `${reason} and ${provider} did not say so` };
    this.#distrusted = [...this.#distrusted.filter((each) => each.provider !== provider), distrust];
    await this.#files.distrust.write({ distrusted: this.#distrusted });
    // Nothing goes on from its marks, also if it is trusted again before the next export.
    const isOf = ({ mark }: KeptMark): boolean => mark.provider === provider;
    const { disks, stale } = this.#kept;
    this.#kept = { disks: disks.filter((mark) => !isOf(mark)), stale: [...stale, ...disks.filter(isOf)] };
    await this.#files.marks.write(this.#kept);
    const doubtful =
      partial === 0 ? '' : ` The ${partial === 1 ? 'export' : `${partial} exports`} before this one may hold old data of it.`;
    this.#options.reporter.warn(
      `${reason} since ${this.#parentName(index)}, and ${provider} did not say so: everything is read from now on.${doubtful} ${this.#trustAgain(provider)}`,
      index,
    );
  }

  #trustAgain(provider: string): string {
    return `When the cause is found and removed, rm ${this.#files.distrust.path} lets exports rely on ${provider} again`;
  }
}

function describeSize(before: number, now: number | undefined): string {
  return now === undefined ? 'its size is not known' : `it was resized from ${before} to ${now} bytes`;
}

/** Removes all marks of an instance in a store: it is not exported with them any more. @throws GantryError `STATE_UNUSABLE` */
export async function forgetAllMarks(options: Omit<TrackingOptions, 'parentDisks'>): Promise<void> {
  const { marks: file } = filesOf(options);
  const found = await file.read();
  const all = [...found.stale, ...found.disks];
  if (all.length > 0) await file.write({ disks: [], stale: await forgetMarks(all, options) });
}

/** What is remembered of an instance in a store: what is not trusted is in a file of its own, which people remove. */
interface Files {
  readonly marks: KeptFile<KeptMarks>;
  readonly distrust: KeptFile<{ readonly distrusted: readonly Distrust[] }>;
}

function filesOf({ stateDirectory, store, instance }: Pick<TrackingOptions, 'stateDirectory' | 'store' | 'instance'>): Files {
  const owner = { store, instance: instance.name };
  return { marks: new KeptFile(stateDirectory, owner, MARKS), distrust: new KeptFile(stateDirectory, owner, DISTRUST) };
}

/** Those that are still there, and why is said. */
async function forgetMarks(
  marks: KeptMarks['stale'],
  { providers, reporter, signal }: Pick<TrackingOptions, 'providers' | 'reporter' | 'signal'>,
): Promise<KeptMarks['stale']> {
  const left: { index: number; mark: ChangeMark }[] = [];
  for (const { index, mark } of marks) {
    const provider = providers.find(({ name }) => name === mark.provider);
    if (provider?.forgetMark === undefined) continue;
    try {
      await provider.forgetMark(mark, signal);
    } catch (error) {
      signal.throwIfAborted();
      reporter.warn(`could not remove the mark ${mark.name} of an earlier export (${mark.provider}): ${errorText(error)}`, index);
      left.push({ index, mark });
    }
  }
  return left;
}
