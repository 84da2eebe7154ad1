import type { Disk } from '../instances/model.ts';
import type { SnapshotDropper } from '../runs/clear-run.ts';
import type { SnapshotRecord } from '../runs/run-record.ts';

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
