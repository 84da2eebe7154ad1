import type { Run } from '../runs/journal.ts';
import { errorText } from '../report/error-text.ts';
import type { SnapshotProvider } from './provider.ts';
import type { SnapshotRecord } from '../runs/run-record.ts';

/** Dropping has a time of its own: it happens also when the operation was cancelled, and ends also when a command hangs; ms. */
const DROP_TIMEOUT_MS = 300_000;

/** What must be dropped, in the journal and here. */
export class HeldRecords {
  readonly #run: Run;
  readonly #providers: readonly SnapshotProvider[];
  readonly #warn: (message: string, disk?: number) => void;
  readonly #held = new Map<string, { readonly record: SnapshotRecord; readonly id: number }>();

  constructor(run: Run, providers: readonly SnapshotProvider[], warn: (message: string, disk?: number) => void) {
    this.#run = run;
    this.#providers = providers;
    this.#warn = warn;
  }

  async remember(record: SnapshotRecord): Promise<void> {
    const before = this.#held.get(keyOf(record));
    const id = await this.#run.remember({ kind: 'snapshot', record }, before?.id);
    this.#held.set(keyOf(record), { record, id });
    if (before !== undefined && before.id !== id) await this.#run.forget(before.id);
  }

  /** Drops everything, the newest first. Never rejects: what cannot be dropped is told, and stays in the journal. */
  async dropAll(): Promise<void> {
    for (const { record } of [...this.#held.values()].toReversed()) await this.drop(record);
  }

  async drop(record: SnapshotRecord): Promise<void> {
    const held = this.#held.get(keyOf(record));
    const provider = this.#providers.find(({ name }) => name === record.provider);
    if (held === undefined) return;
    try {
      if (provider === undefined) throw new Error(`there is no provider ${record.provider}`);
      await provider.drop(held.record, AbortSignal.timeout(DROP_TIMEOUT_MS));
      await this.#run.forget(held.id);
      this.#held.delete(keyOf(record));
    } catch (error) {
      this.#warn(
        `${record.description}, could not be cleared: ${errorText(error)}; the next run tries again`,
        record.index < 0 ? undefined : record.index,
      );
    }
  }
}

function keyOf({ provider, index }: SnapshotRecord): string {
  return `${provider} ${index}`;
}
