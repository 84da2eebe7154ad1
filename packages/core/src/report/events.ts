/*
 * Progress is a stream of typed events; the terminal's bars and `--json` are two readers of it. Events are plain JSON.
 */

export type OperationName = 'create' | 'rename' | 'export' | 'import' | 'move' | 'receive' | 'verify' | 'remove' | 'os-check' | 'clean';

/** A disk that would be overwritten. */
export interface PlannedTarget {
  readonly disk: number;
  /** Its path, or its URI. */
  readonly target: string;
  readonly targetBytes?: number;
  /** What it holds now, in words: `empty`, `ext file system "root"`, `data of an unknown kind`. */
  readonly holds: string;
}

/** What would be overwritten with what. */
export interface WritePlan {
  /** Where the data comes from: `INSTANCE@EXPORT-ID`, or the instance that is moved. */
  readonly from: string;
  /** The instance that the data is of. */
  readonly exported: string;
  /** The instance whose disks are overwritten. */
  readonly into: string;
  /** `incomingBytes`: plain bytes that come, where known. */
  readonly disks: readonly (PlannedTarget & { readonly incomingBytes?: number })[];
}

/** Where a disk is in its operation. */
export type DiskPhase = 'waiting' | 'running' | 'done' | 'failed';

export type GantryEvent =
  /** A stage of the operation began, in words for a human, such as `snapshot of 2 disks (reflink)`. */
  | { readonly type: 'stage'; readonly operation: OperationName; readonly message: string }
  /** What will be overwritten with what, before anything is. */
  | ({ readonly type: 'plan'; readonly operation: OperationName } & WritePlan)
  /** Something that the user should know although nothing failed. */
  | { readonly type: 'warning'; readonly operation: OperationName; readonly message: string; readonly disk?: number }
  /** One line that a script wrote for the user (stderr; stdout too, but for export). */
  | {
      readonly type: 'message';
      readonly operation: OperationName;
      readonly script: string;
      readonly disk?: number;
      readonly stream: 'stdout' | 'stderr';
      readonly line: string;
    }
  /** A disk changed its phase. */
  | {
      readonly type: 'disk';
      readonly operation: OperationName;
      readonly disk: number;
      readonly phase: DiskPhase;
      /** Plain bytes that will come, where they are known before it runs. */
      readonly expectedBytes?: number;
    }
  /** How far one disk is. At most some ten a second for each disk. */
  | {
      readonly type: 'progress';
      readonly operation: OperationName;
      readonly disk: number;
      /** Bytes out of (export) or into (import) the script. */
      readonly plainBytes: number;
      /** Bytes into or out of the store. */
      readonly storedBytes: number;
      /** Plain bytes at the end: what the script said (export) or the manifest says (import), where known. */
      readonly expectedBytes?: number;
    };

/** Takes events as they happen. Must not throw, and is not waited for. */
export type EventListener = (event: GantryEvent) => void;
