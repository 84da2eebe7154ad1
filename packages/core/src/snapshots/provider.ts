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
  /** @throws GantryError `SNAPSHOT_FAILED` where `path` does not lead to the snapshot any more */
  readonly assertIntact?: () => Promise<void>;
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

/**
 * A way to hold disks still while they are exported. `take` gets all disks of the instance together, before the first
 * script runs, and makes their views as near to each other in time as it can. Where it rejects, core drops what it remembered.
 */
export interface SnapshotProvider extends SnapshotDropper {
  /** Whether this disk can be held still this way, and if not, why: one clause. Changes nothing. */
  supports(request: SnapshotRequest, signal: AbortSignal): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }>;
  take(requests: readonly SnapshotRequest[], context: SnapshotContext): Promise<readonly Snapshot[]>;
}
