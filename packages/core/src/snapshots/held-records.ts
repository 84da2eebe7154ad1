import { errorText } from '../report/error-text.ts';
import type { Run } from '../runs/journal.ts';
import type { RunRecord } from '../runs/run-record.ts';
import type { Undo, UndoContext } from '../runs/undo.ts';

/** Undoing has its own timeout, ms: it also runs when the operation was cancelled, and ends when a command hangs. */
const UNDO_TIMEOUT_MS = 300_000;

interface Held {
  readonly record: RunRecord;
  readonly id: number;
  readonly disk: number | undefined;
}

/** What must be undone at the end of this run; everything is also in the journal. */
export class HeldRecords {
  readonly #run: Run;
  readonly #context: UndoContext;
  readonly #undos: readonly Undo[];
  readonly #warn: (message: string, disk?: number) => void;
  readonly #held = new Map<string, Held>();

  constructor(run: Run, context: UndoContext, undos: readonly Undo[], warn: (message: string, disk?: number) => void) {
    this.#run = run;
    this.#context = context;
    this.#undos = undos;
    this.#warn = warn;
  }

  /** Resolves when the record is on disk. A record with the same key replaces the previous one. */
  async remember(key: string, record: RunRecord, disk?: number): Promise<void> {
    const id = await this.#run.remember(record, this.#held.get(key)?.id);
    this.#held.set(key, { record, id, disk });
  }

  /** Undoes everything, the newest first. Never rejects: what cannot be undone is reported as a warning and stays in the journal. */
  async undoAll(): Promise<void> {
    for (const key of [...this.#held.keys()].toReversed()) await this.undo(key);
  }

  /** For something that is to stay as it is. */
  async forget(key: string): Promise<void> {
    const held = this.#held.get(key);
    if (held === undefined) return;
    await this.#run.forget(held.id);
    this.#held.delete(key);
  }

  async undo(key: string): Promise<void> {
    const held = this.#held.get(key);
    const undo = this.#undos.find(({ kind }) => kind === held?.record.kind);
    if (held === undefined || undo === undefined) return;
    try {
      await undo.undo(held.record, this.#context, AbortSignal.timeout(UNDO_TIMEOUT_MS));
      await this.#run.forget(held.id);
      this.#held.delete(key);
    } catch (error) {
      this.#warn(`could not undo: ${undo.describe(held.record)}: ${errorText(error)}; the next run tries again`, held.disk);
    }
  }
}
