import type { FileHandle } from 'node:fs/promises';

import { errorText } from '../report/error-text.ts';
import type { JournalContent } from './journal-file.ts';
import { JournalWriter } from './journal-file.ts';
import type { RecoveryLog } from './recovery-report.ts';
import type { RunHeader, RunRecord } from './run-record.ts';
import type { Undo } from './undo.ts';

export interface UndoOptions {
  /** One for each kind, in the order in which the kinds are undone. */
  readonly undos: readonly Undo[];
  readonly signal: AbortSignal;
}

/** Nothing takes longer to be undone; ms. */
const UNDO_TIMEOUT_MS = 300_000;

/**
 * Undoes what stands in the journal of a dead run, which must be locked: kind by kind, and of each kind the newest first. What cannot be
 * undone, or is of a kind that nobody here knows, stays in the journal.
 * @returns whether all is undone
 * @throws the signal's reason
 */
export async function undoRecords(file: FileHandle, content: JournalContent, options: UndoOptions, log: RecoveryLog): Promise<boolean> {
  const { header, records, bytes } = content;
  if (header === undefined || records.size === 0) return true;
  // What follows the last whole line is overwritten, or has no end and does not count.
  const journal = new JournalWriter(file, bytes);
  const known = new Set(options.undos.map(({ kind }) => kind));
  for (const record of records.values()) {
    if (!known.has(record.kind)) log.kept(header, record, 'no part of this version of Gantry knows what it is');
  }
  let left = records.size;
  for (const undo of options.undos) {
    for (const [id, record] of [...records].toReversed()) {
      if (record.kind !== undo.kind || !(await undoRecord(undo, record, header, options.signal, log))) continue;
      left -= 1;
      // Not remembered as forgotten, it is undone once more, which does no harm.
      await journal.append({ forget: id }).catch(() => undefined);
    }
  }
  return left === 0;
}

async function undoRecord(undo: Undo, record: RunRecord, header: RunHeader, signal: AbortSignal, log: RecoveryLog): Promise<boolean> {
  try {
    const either = AbortSignal.any([signal, AbortSignal.timeout(UNDO_TIMEOUT_MS)]);
    if (await undo.undo(record, header, either)) log.cleared(header, record);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    log.kept(header, record, errorText(error));
    return false;
  }
}
