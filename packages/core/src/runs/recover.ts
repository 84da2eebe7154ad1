import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isRunning } from '@gantry/transport';

import { errorText } from '../report/error-text.ts';
import { tryFlock } from '../system/flock.ts';
import type { UndoOptions } from './undo-run.ts';
import { undoRecords } from './undo-run.ts';
import type { JournalContent } from './journal-file.ts';
import { readJournal } from './journal-file.ts';
import { JOURNAL_SUFFIX } from './journal.ts';
import type { Lock } from './lock-file.ts';
import { isStillNamed, tryLock } from './lock-file.ts';
import { pause } from '../system/pause.ts';
import type { RecoveryReport } from './recovery-report.ts';
import { RecoveryLog } from './recovery-report.ts';
import type { StateDirectory } from './state-directory.ts';
import { unusable } from './state-directory.ts';
import type { Undo } from './undo.ts';

export interface RecoveryOptions extends UndoOptions {
  readonly stateDirectory: StateDirectory;
  /** `list` only looks and says; `clear` (default) ends and drops. */
  readonly mode?: 'list' | 'clear' | undefined;
  /** Told of each thing as it is found, cleared or kept: one sentence. */
  readonly report?: ((message: string) => void) | undefined;
}

const DAMAGED_SUFFIX = '.damaged';
const TURN_WAIT_MS = 50;
/** Somebody who only lists has a dead run's journal locked for a moment. */
const LISTED_TRIES = 25;
const LISTED_WAIT_MS = 20;

/**
 * Finds the runs that died and left something, and undoes that, or only says what there is. What cannot be undone stays in the journal
 * for the next run. Safe to call from several processes at once: one clears, the others wait for it.
 * @throws GantryError STATE_UNUSABLE; the signal's reason
 */
export async function recoverDeadRuns(options: RecoveryOptions): Promise<RecoveryReport> {
  const log = new RecoveryLog(options.undos, options.report);
  const journals = await filesOf(options.stateDirectory, JOURNAL_SUFFIX);
  if (options.mode === 'list') {
    log.damaged.push(...(await filesOf(options.stateDirectory, DAMAGED_SUFFIX)));
    for (const path of journals) await listRun(path, options.undos, log);
    return log;
  }
  if (!(await someDead(journals))) return log;
  await using _turn = await takeTurn(options, log);
  for (const path of journals) {
    options.signal.throwIfAborted();
    await clearRun(path, options, log);
  }
  return log;
}

async function filesOf({ runs }: StateDirectory, suffix: string): Promise<readonly string[]> {
  const all = await readdir(runs).catch((error: unknown) => {
    throw unusable(`cannot look into ${runs}`, error);
  });
  return all
    .filter((name) => name.endsWith(suffix))
    .sort()
    .map((name) => join(runs, name));
}

async function someDead(journals: readonly string[]): Promise<boolean> {
  for (const path of journals) {
    await using file = await openJournal(path, 'r');
    if (file !== undefined && (tryFlock(file.fd, 'shared') || !(await ownerRuns(file)))) return true;
  }
  return false;
}

/** Undefined when its run has ended in good order, or somebody has cleared it. */
async function openJournal(path: string, flags: string): Promise<FileHandle | undefined> {
  return open(path, flags).catch(() => undefined);
}

/** Whether the process that wrote the journal runs. A locked journal whose process does not is being cleared by somebody. */
async function ownerRuns(file: FileHandle): Promise<boolean> {
  const content = await readJournal(file).catch(() => undefined);
  return content?.header === undefined || (await isRunning(content.header));
}

/** Waits until no other process is clearing: what it clears, such as a script that still writes to a disk, is gone then. */
async function takeTurn({ stateDirectory, signal }: RecoveryOptions, log: RecoveryLog): Promise<Lock> {
  let waitsFor: number | undefined;
  for (;;) {
    const directory = stateDirectory.locks;
    const result = await tryLock({ directory, name: 'recovery', mode: 'exclusive', operation: 'recovery', instance: '-', signal });
    if (!('heldBy' in result)) return result;
    const pid = result.heldBy[0]?.pid;
    if (pid !== undefined && pid !== waitsFor) log.say(`waiting for process ${pid}, which clears what a killed run left`);
    waitsFor = pid;
    await pause(TURN_WAIT_MS, signal);
  }
}

async function listRun(path: string, undos: readonly Undo[], log: RecoveryLog): Promise<void> {
  await using file = await openJournal(path, 'r');
  if (file === undefined || !tryFlock(file.fd, 'shared')) return;
  try {
    const { header, records } = await readJournal(file);
    if (header === undefined) return;
    for (const record of records.values()) {
      const undo = undos.find(({ kind }) => kind === record.kind);
      if ((await undo?.isThere?.(record, header)) ?? true) log.found(header, record);
    }
  } catch (error) {
    log.damaged.push(path);
    log.say(`the journal ${path} of a dead run cannot be read: ${errorText(error)}`);
  }
}

async function clearRun(path: string, options: RecoveryOptions, log: RecoveryLog): Promise<void> {
  await using file = await openJournal(path, 'r+');
  if (file === undefined || !(await lockDead(file, options.signal)) || !(await isStillNamed(file, path))) return;
  let content: JournalContent;
  try {
    content = await readJournal(file);
  } catch (error) {
    const aside = `${path}${DAMAGED_SUFFIX}`;
    await rename(path, aside);
    log.damaged.push(aside);
    log.say(`the journal of a dead run cannot be read: ${errorText(error)}; nothing of it was cleared, and it is set aside as ${aside}`);
    return;
  }
  if (await undoRecords(file, content, options, log)) await unlink(path);
}

async function lockDead(file: FileHandle, signal: AbortSignal): Promise<boolean> {
  for (let tries = 0; !tryFlock(file.fd, 'exclusive'); tries += 1) {
    if (tries === LISTED_TRIES || (await ownerRuns(file))) return false;
    await pause(LISTED_WAIT_MS, signal);
  }
  return true;
}
