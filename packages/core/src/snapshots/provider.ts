import type { Disk } from '../instances/model.ts';

/**
 * What it takes to drop a snapshot without anything else: plain JSON, written to the journal before the snapshot is made, so
 * that the next run can drop what a killed one left.
 */
export interface SnapshotRecord {
  readonly provider: string;
  /** The disk's; -1 for what concerns all of them. */
  readonly index: number;
  /** For a human: what it is and where, such as `/srv/disks/.web1-0.img.gantry-….snap`. */
  readonly description: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Drops the snapshots of one kind: all that undoing has to know of a provider. */
export interface SnapshotDropper {
  readonly name: string;
  /** Idempotent: a snapshot that is not there (any more, or not yet) is dropped already. */
  drop(record: SnapshotRecord, signal: AbortSignal): Promise<void>;
}

/** A disk to be held still, with its index in the instance. */
export interface SnapshotRequest {
  readonly index: number;
  readonly disk: Disk;
}

/** A stable view of one disk. */
export interface Snapshot {
  readonly index: number;
  /** Which provider made it, as the manifest says it: `reflink`, `command`, `none`. */
  readonly kind: string;
  /** What `EXPORT_DEVICE` names; absent only for a disk that has a URI alone. */
  readonly path?: string;
  readonly uri?: string;
  /** What `path` leads to, open for reading for as long as the snapshot is held: another user may change where the name leads. */
  readonly descriptor?: number;
  /**
   * @throws GantryError `SNAPSHOT_FAILED` where `path` does not lead to the snapshot any more, `SNAPSHOT_FULL` where it no longer holds
   *   what the disk held
   */
  readonly assertIntact?: () => Promise<void>;
  /** Aborted with a GantryError as soon as the snapshot is seen to be lost: what was read of it must not be taken as complete. */
  readonly lost?: AbortSignal;
}

export interface SnapshotContext {
  /** Unique for this run, safe in file names and LVM names: `gantry-20261123T081500Z-4711`. */
  readonly runId: string;
  readonly instanceName: string;
  /**
   * Must resolve before the thing that the record describes is made: it is then on disk. A further record of the same provider and
   * index takes the place of the one before.
   */
  readonly remember: (record: SnapshotRecord) => Promise<void>;
  readonly warn: (message: string, disk?: number) => void;
  readonly signal: AbortSignal;
}

/** Whether a disk can be held still in one way. */
export type Support =
  /** `what` would be made, in words: `a classic snapshot of vg/web1 with 2.00 GiB`. */
  | { readonly ok: true; readonly what: string }
  /**
   * Why not: one clause. `isObstacle`: this is the way for this disk, which is in use, and it would work if the reason were removed.
   * `auto` fails then, rather than read a disk that changes.
   */
  | { readonly ok: false; readonly reason: string; readonly isObstacle?: boolean };

/** Snapshots that are about to be taken. Where a step rejects, core drops what was remembered. */
export interface PreparedSnapshots {
  /** Makes the views, as near to each other in time as can be. The instance may be frozen until this resolves. */
  take(): Promise<void>;
  /** To be called once they are taken, and the instance runs again. */
  open(): Promise<readonly Snapshot[]>;
}

/** A way to hold disks still while they are exported. */
export interface SnapshotProvider extends SnapshotDropper {
  /** Changes nothing. */
  supports(request: SnapshotRequest, signal: AbortSignal): Promise<Support>;
  /** Why disks that are each supported cannot be held still together: one clause. Changes nothing. */
  whyNotTogether?(requests: readonly SnapshotRequest[], signal: AbortSignal): Promise<string | undefined>;
  /**
   * Does what takes time and does not need to be done at one moment, such as writing the journal. Gets all disks of the instance that
   * are held still in this way, before the first script runs. Where it rejects, core drops what it remembered.
   */
  prepare(requests: readonly SnapshotRequest[], context: SnapshotContext): Promise<PreparedSnapshots>;
}
