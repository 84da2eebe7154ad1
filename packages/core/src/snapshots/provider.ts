import type { GuestControl } from '../instances/inventory.ts';
import type { Disk } from '../instances/model.ts';
import type { MarksKept } from './mark-fate.ts';
import type { SnapshotConfig } from './snapshot-config.ts';
import type { SnapshotSize } from './snapshot-size.ts';

/**
 * Everything that dropping a snapshot needs: plain JSON, written to the journal before the snapshot is made, so that the next run can
 * drop what a killed one left.
 */
export interface SnapshotRecord {
  readonly provider: string;
  /** The index of the disk; -1 in records of the first version that concern all disks. */
  readonly index: number;
  /** For a human: what the snapshot is and where, such as `/srv/disks/.web1-0.img.gantry-….snap`. */
  readonly description: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Drops the snapshots of one kind: the only part of a provider that undoing needs. */
export interface SnapshotDropper {
  readonly name: string;
  /** Idempotent: a snapshot that does not exist (any more, or yet) is dropped already. */
  drop(record: SnapshotRecord, signal: AbortSignal): Promise<void>;
}

/** A disk to take a snapshot of, with its index in the instance. */
export interface SnapshotRequest {
  readonly index: number;
  readonly disk: Disk;
  readonly instanceName?: string;
  /** Whether scripts read the snapshot: they need a path, or know its URI. One that is read over NBD gets a file. */
  readonly needsPath?: boolean;
  /** Leave a mark, and say what has changed since an earlier one. Providers that cannot do not have {@link Snapshot.changes}. */
  readonly track?: { readonly since?: ChangeMark | undefined } | undefined;
}

/** What a snapshot leaves, so that a later one can say what changed in between: plain JSON, to be kept with what was read. */
export interface ChangeMark {
  readonly provider: string;
  /** No other mark has the same. It says where the mark is, so that it can be removed when its disk is not one of the instance any more. */
  readonly name: string;
}

/** What the mark that a snapshot leaves is called, and what changed since the one that was asked for. */
interface SnapshotChanges {
  /** Usable by later snapshots once the set's `settleMarks` has decided so; until then the earlier one is. */
  readonly mark: ChangeMark;
  readonly since: ChangesSince;
}

type ChangesSince =
  /** What is outside of `ranges` (bytes, in order) is what it was at the mark. Reading them throws GantryError `DISK_IO`. */
  | { readonly known: true; readonly ranges: (signal: AbortSignal) => AsyncIterable<{ readonly offset: number; readonly length: number }> }
  /** All of the disk must be read: `reason`, one clause, says why. */
  | { readonly known: false; readonly reason: string };

/** A stable view of one disk. */
export interface Snapshot {
  readonly index: number;
  /** Name of the provider that made it, also used in manifests: `reflink`, `libvirt`, `qemu`, `command`, `lvm`, `zfs`, `rbd`, `none`. */
  readonly kind: string;
  /** Passed to scripts as `EXPORT_DEVICE`; absent for a disk with only a URI, and if there is `nbd`. */
  readonly path?: string;
  readonly uri?: string;
  /** The snapshot itself, open for reading as long as the snapshot exists: another user may replace what is at `path`. */
  readonly descriptor?: number;
  /**
   * @throws GantryError `SNAPSHOT_FAILED` if `path` no longer leads to the snapshot, `SNAPSHOT_FULL` if it no longer has the contents of
   *   the disk
   */
  readonly assertIntact?: () => Promise<void>;
  /** Aborted with a GantryError when the snapshot is lost: what was read from it is not complete. */
  readonly lost?: AbortSignal;
  /** Read in place of a path, by the built-in definition `raw`; scripts get a file in its place (`snapshot-files.ts`). */
  readonly nbd?: SnapshotOverNbd | undefined;
  /** Present if the request asked for it and the provider can. */
  readonly changes?: SnapshotChanges;
  /** Its size, where that can differ from the size of what is at the disk's path, or there is none: an image of another format, a URI. */
  readonly bytes?: number;
}

/** An NBD export at a unix socket. */
export interface SnapshotOverNbd {
  readonly socket: string;
  readonly exportName: string;
}

export interface SnapshotContext {
  /** Unique for this run, safe in file names and LVM names: `gantry-20261123T081500Z-4711`. */
  readonly runId: string;
  readonly instanceName: string;
  /**
   * Must resolve before the snapshot that the record describes is made: the record is then on disk. Another record of the same provider
   * and index replaces the previous one.
   */
  readonly remember: (record: SnapshotRecord) => Promise<void>;
  readonly warn: (message: string, disk?: number) => void;
  /** For something that the user may want to know, such as how long a guest was paused. */
  readonly note?: ((message: string) => void) | undefined;
  /** The caller knows that a disk without a snapshot may change while it is read. */
  readonly mayChange?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** Whether a provider supports a disk. */
export type Support =
  /** `what` would be made, in words: `a classic snapshot of vg/web1 with 2.00 GiB`. `isOverNbd`: it has no path of its own. */
  | { readonly ok: true; readonly what: string; readonly isOverNbd?: boolean }
  /**
   * Why not: one clause. `isObstacle`: the disk is in use, and this provider would support it if the reason were removed. `auto` then
   * fails instead of reading a disk that changes.
   */
  | { readonly ok: false; readonly reason: string; readonly isObstacle?: boolean };

/** Snapshots that are about to be taken. If a step rejects, core drops what was remembered. */
export interface PreparedSnapshots {
  /** Takes the snapshots, as close together in time as possible. The instance may be frozen until this resolves. */
  take(): Promise<void>;
  /** To be called after they are taken and the instance runs again. */
  open(): Promise<readonly Snapshot[]>;
  /** Decides which marks stay when the snapshots are dropped: without it, the earlier ones do. */
  settleMarks?(kept: MarksKept): Promise<void>;
}

/** Options of providers. */
export interface ProviderOptions {
  readonly config?: SnapshotConfig | undefined;
  readonly size?: SnapshotSize | undefined;
  /** Where the instance's running guest is controlled, if that is known. */
  readonly guest?: GuestControl | undefined;
}

/** A way to get stable views of disks while they are exported. */
export interface SnapshotProvider extends SnapshotDropper {
  /** Changes nothing. */
  supports(request: SnapshotRequest, signal: AbortSignal): Promise<Support>;
  /** Why snapshots of these disks, each of which is supported, cannot be taken together: one clause. Changes nothing. */
  whyNotTogether?(requests: readonly SnapshotRequest[], signal: AbortSignal): Promise<string | undefined>;
  /**
   * Does everything slow that need not happen at one moment, such as writing the journal. Gets all disks of the instance that use this
   * provider, before the first script runs. If it rejects, core drops what it remembered.
   */
  prepare(requests: readonly SnapshotRequest[], context: SnapshotContext): Promise<PreparedSnapshots>;
  /**
   * Removes a mark that is of no use any more. Idempotent. Providers that leave no marks do not have it.
   * @throws Error with the reason why it is still there; the signal's reason
   */
  forgetMark?(mark: ChangeMark, signal: AbortSignal): Promise<void>;
}
