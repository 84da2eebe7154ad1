import type { RunRecord } from './run-record.ts';

/** The run that made the thing. */
export interface UndoContext {
  readonly instance: string;
}

/**
 * Undoes one kind of thing that outlives a killed run. What it needs to know of the thing is in its record, which was written to the
 * journal before the thing was made. To be registered in `operations/undo-handlers.ts`.
 */
export interface Undo {
  /** Of the records that it can read. */
  readonly kind: string;
  /** For a human: what it is and where. @throws Error where the record is not of this kind's shape */
  describe(record: RunRecord): string;
  /** Whether it is still there, where that can be seen without changing anything. */
  isThere?(record: RunRecord, run: UndoContext): Promise<boolean>;
  /**
   * Idempotent: what is not there (any more, or not yet) is undone already.
   * @returns whether there was anything
   * @throws Error that says why it is still there; the signal's reason
   */
  undo(record: RunRecord, run: UndoContext, signal: AbortSignal): Promise<boolean>;
}
