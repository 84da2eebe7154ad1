import type { FileHandle } from 'node:fs/promises';

import { errorText } from '../report/error-text.ts';
import type { JournalContent } from './journal-file.ts';
import { JournalWriter } from './journal-file.ts';
import type { RecoveryLog } from './recovery-report.ts';
import type { RunHeader, RunRecord } from './run-record.ts';
import type { Remedy, Undo } from './undo.ts';
import { isUndo } from './undo.ts';

export interface UndoOptions {
  /** One for each kind, in the order in which the kinds are undone. */
  readonly undos: readonly Remedy[];
  /** Notices are said for the last time, to someone who reads them. */
  readonly endNotices?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** Longer than undoing anything takes, ms. */
const UNDO_TIMEOUT_MS = 300_000;

/**
 * Undoes what the journal of a dead run lists; the journal must be locked. Kind by kind, and within each kind the newest first. What
 * cannot be undone, or is of an unknown kind, stays in the journal.
 * @returns whether everything is undone
 * @throws the signal's reason
 */
export async function undoRecords(file: FileHandle, content: JournalContent, options: UndoOptions, log: RecoveryLog): Promise<boolean> {
  const { header, records, bytes } = content;
  if (header === undefined || records.size === 0) return true;
  // What follows the last complete line is overwritten, or ignored because it has no newline.
  const journal = new JournalWriter(file, bytes);
  const known = new Set(options.undos.map(({ kind }) => kind));
  for (const record of records.values()) {
    if (!known.has(record.kind)) log.kept(header, record, 'this version of Gantry does not know what it is');
  }
  let left = records.size;
  for (const undo of options.undos) {
    for (const [id, record] of [...records].toReversed()) {
      if (record.kind !== undo.kind) continue;
      if (!(isUndo(undo) ? await undoRecord(undo, record, header, options.signal, log) : noteRecord(record, header, options, log)))
        continue;
      left -= 1;
      // Where this fails, the thing is undone once more, which does no harm.
      await journal.append({ forget: id }).catch(() => undefined);
    }
  }
  return left === 0;
}

/** @returns whether it was said for the last time */
function noteRecord(record: RunRecord, header: RunHeader, { endNotices = false }: UndoOptions, log: RecoveryLog): boolean {
  log.noted(header, record, endNotices);
  return endNotices;
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
