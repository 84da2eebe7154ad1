import type { FileHandle } from 'node:fs/promises';

import { endScript } from './end-script.ts';
import type { JournalContent } from './journal-file.ts';
import { JournalWriter } from './journal-file.ts';
import type { RecoveryLog } from './recovery-report.ts';
import type { PendingRecord, RunHeader, RunRecord, SnapshotRecord } from './run-record.ts';

/** Drops the snapshots of one kind: all that recovery has to know of a provider. */
export interface SnapshotDropper {
  readonly name: string;
  /** Idempotent: a snapshot that is not there (any more, or not yet) is dropped already. */
  drop(record: SnapshotRecord, signal: AbortSignal): Promise<void>;
}

/** What it takes to clear things away. */
export interface ClearingOptions {
  /** Every provider that a dead run may have used. */
  readonly providers: readonly SnapshotDropper[];
  /** Clears what is unfinished in a store and says whether it is gone; without it that is named and stays in the journal. */
  readonly clearPending?: ((record: PendingRecord, signal: AbortSignal) => Promise<boolean>) | undefined;
  readonly signal: AbortSignal;
}

/** Nothing of what a provider or a store does to clear one thing takes longer; ms. */
const CLEAR_TIMEOUT_MS = 300_000;

/**
 * Clears what stands in the journal of a dead run, which must be locked: processes first, for they may have a snapshot open; then
 * snapshots, the newest first. What cannot be cleared stays in the journal.
 * @returns whether all is cleared
 * @throws the signal's reason
 */
export async function clearRecords(
  file: FileHandle,
  content: JournalContent,
  options: ClearingOptions,
  log: RecoveryLog,
): Promise<boolean> {
  const { header, records, bytes } = content;
  if (header === undefined || records.size === 0) return true;
  // What follows the last whole line is overwritten, or has no end and does not count.
  const journal = new JournalWriter(file, bytes);
  let left = records.size;
  for (const kind of ['script', 'snapshot', 'pending'] as const) {
    for (const [id, record] of [...records].toReversed()) {
      if (record.kind !== kind || !(await clearRecord(header, record, options, log))) continue;
      left -= 1;
      // Not remembered as forgotten, it is cleared once more, which does no harm.
      await journal.append({ forget: id }).catch(() => undefined);
    }
  }
  return left === 0;
}

async function clearRecord(header: RunHeader, record: RunRecord, options: ClearingOptions, log: RecoveryLog): Promise<boolean> {
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(CLEAR_TIMEOUT_MS)]);
  try {
    if (await clear(header, record, { ...options, signal })) log.cleared(header, record);
    return true;
  } catch (error) {
    options.signal.throwIfAborted();
    log.kept(header, record, error instanceof Error ? error.message : String(error));
    return false;
  }
}

/** Whether there was anything to clear. @throws what says why it could not be cleared */
async function clear(header: RunHeader, record: RunRecord, { providers, clearPending, signal }: ClearingOptions): Promise<boolean> {
  if (record.kind === 'script') return endScript(record, header.instance, signal);
  if (record.kind === 'snapshot') {
    const provider = providers.find(({ name }) => name === record.record.provider);
    if (provider === undefined) throw new Error(`nothing here knows snapshots of the kind ${record.record.provider}`);
    await provider.drop(record.record, signal);
    return true;
  }
  if (clearPending === undefined) throw new Error('the next operation on that store can clear it');
  if (!(await clearPending(record, signal))) throw new Error('the store still has it');
  return true;
}
