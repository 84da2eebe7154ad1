/*
 * Progress is a stream of typed events; the terminal's bars and `--json` are two readers of it. Events are plain JSON.
 */

import type { GantryErrorCode } from './errors.ts';

export type OperationName =
  | 'create'
  | 'rename'
  | 'export'
  | 'import'
  | 'move'
  | 'receive'
  | 'verify'
  | 'remove'
  | 'os-check'
  | 'clean'
  | 'consolidate'
  | 'copy'
  | 'mirror'
  | 'diff'
  | 'run'
  | 'tag'
  | 'keys-add'
  | 'keys-check';

/** A disk that would be overwritten. */
export interface PlannedTarget {
  readonly disk: number;
  /** Its path, or its URI. */
  readonly target: string;
  readonly targetBytes?: number;
  /** What it contains now, in words: `empty`, `ext file system "root"`, `data of an unknown kind`. */
  readonly holds: string;
  /** Where it is not just overwritten. `create`, `enlarge`: before it gets its data; `targetBytes` is its size then. */
  readonly action?: 'create' | 'enlarge' | 'remove' | 'keep';
}

/** What a dry run has checked, and found fit; or one of several stores that is not. */
export interface PlanCheck {
  readonly check:
    | 'instance'
    | 'definition'
    | 'parameters'
    | 'export'
    | 'store'
    | 'codec'
    | 'recipients'
    | 'sign-key'
    | 'disk'
    | 'snapshot'
    | 'peer'
    | 'define'
    | 'references';
  /** The index of the disk that it is about. */
  readonly disk?: number;
  /** What was found, in words. */
  readonly says: string;
  /** Of one of several stores: the code of the failure that `says` describes, while the others are fit. */
  readonly code?: GantryErrorCode;
}

/** What an operation does: to the disks of an instance, or to the dumps of an export. The same form for all operations. */
export interface WritePlan {
  /** Where the data comes from: `INSTANCE@EXPORT-ID`, or the instance that is moved or exported. What is removed. */
  readonly from: string;
  /** The instance that was exported, or is moved or exported. */
  readonly exported: string;
  /** The instance whose disks are overwritten; the store that gets an export or loses one. */
  readonly into: string;
  /** `incomingBytes`: plain bytes that will be written, where known. */
  readonly disks: readonly (PlannedTarget & { readonly incomingBytes?: number })[];
}

/** One round of a live move. */
export interface LiveRound {
  /** From 1. */
  readonly round: number;
  /** What differed from what the peer had, bytes; zeros do not count. */
  readonly plainBytes: number;
  /** What was sent of that, compressed. */
  readonly storedBytes: number;
  readonly durationMs: number;
}

/** How far the work on one disk has got. */
export type DiskPhase = 'waiting' | 'running' | 'done' | 'failed';

/** What happens; `instance` where an operation works on several at once. */
export type GantryEvent = OperationEvent & {
  /** The instance that it is about. */
  readonly instance?: string | undefined;
};

type OperationEvent =
  /** A stage of the operation started, described for a human, such as `snapshot of 2 disks (reflink)`. */
  | { readonly type: 'stage'; readonly operation: OperationName; readonly message: string }
  /** What will be overwritten with what; emitted before anything is written. */
  | ({ readonly type: 'plan'; readonly operation: OperationName } & WritePlan)
  /** Something that the user should know although nothing failed. */
  | { readonly type: 'warning'; readonly operation: OperationName; readonly message: string; readonly disk?: number }
  /** One line that a script wrote for the user (to stderr; also to stdout, except for export scripts). */
  | {
      readonly type: 'message';
      readonly operation: OperationName;
      readonly script: string;
      readonly disk?: number;
      readonly stream: 'stdout' | 'stderr';
      readonly line: string;
    }
  /** A disk entered another phase. */
  | {
      readonly type: 'disk';
      readonly operation: OperationName;
      readonly disk: number;
      readonly phase: DiskPhase;
      /** Plain bytes to be transferred, where that is known in advance. */
      readonly expectedBytes?: number;
    }
  /** A round of a live move is complete on the peer. */
  | ({ readonly type: 'round'; readonly operation: OperationName; readonly rounds: number } & LiveRound)
  /** Progress of one disk; at most about ten a second for each disk. */
  | {
      readonly type: 'progress';
      readonly operation: OperationName;
      readonly disk: number;
      /** Bytes out of (export) or into (import) the script. */
      readonly plainBytes: number;
      /** Bytes into or out of the store. */
      readonly storedBytes: number;
      /** Total plain bytes, as the script (export) or the manifest (import) says, where known. */
      readonly expectedBytes?: number;
    };

/** Receives events as they happen. Must not throw; nothing waits for it. */
export type EventListener = (event: GantryEvent) => void;
