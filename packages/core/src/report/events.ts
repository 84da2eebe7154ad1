/*
 * Progress is a stream of typed events; the terminal's bars and `--json` are two readers of it. Events are plain JSON.
 */

export type OperationName = 'create' | 'rename' | 'export' | 'import' | 'move' | 'receive' | 'verify' | 'remove' | 'os-check' | 'clean';

/** Where a disk is in its operation. */
export type DiskPhase = 'waiting' | 'running' | 'done' | 'failed';

export type GantryEvent =
  /** A stage of the operation began, in words for a human, such as `snapshot of 2 disks (reflink)`. */
  | { readonly type: 'stage'; readonly operation: OperationName; readonly message: string }
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
  | { readonly type: 'disk'; readonly operation: OperationName; readonly disk: number; readonly phase: DiskPhase }
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
