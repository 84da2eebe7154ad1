import type { RunRecord } from './run-record.ts';

/** The run that made the thing. */
export interface UndoContext {
  readonly instance: string;
}

/**
 * Says one kind of thing that a killed run left and that is not undone later, with what to do about it. Each later run says it again,
 * until `gantry clean` has. To be registered in `flow/undo-handlers.ts`.
 */
export interface Notice {
  /** The kind of record that it reads. */
  readonly kind: string;
  /** For a human: what is left, and what to do. @throws Error where the record does not have the shape of this kind */
  describe(record: RunRecord): string;
}

/** What can be done about a record of a dead run. */
export type Remedy = Undo | Notice;

export function isUndo(remedy: Remedy): remedy is Undo {
  return 'undo' in remedy;
}

/**
 * Undoes one kind of thing that outlives a killed run. Everything it needs is in the record, which was written to the journal before
 * the thing was made. To be registered in `flow/undo-handlers.ts`.
 */
export interface Undo {
  /** The kind of record that it reads. */
  readonly kind: string;
  /** For a human: what the thing is and where. @throws Error where the record does not have the shape of this kind */
  describe(record: RunRecord): string;
  /** Whether the thing is still there, where that can be seen without changing anything. */
  isThere?(record: RunRecord, run: UndoContext): Promise<boolean>;
  /**
   * Idempotent: a thing that does not exist (any more, or yet) is undone already.
   * @returns whether there was anything to undo
   * @throws Error with the reason why it is still there; the signal's reason
   */
  undo(record: RunRecord, run: UndoContext, signal: AbortSignal): Promise<boolean>;
}
