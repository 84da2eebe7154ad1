import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { isRunning } from '@gantry/transport';

import { errorText } from '../report/error-text.ts';
import { errnoName } from '../system/errno-name.ts';
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
import type { Remedy } from './undo.ts';
import { isUndo } from './undo.ts';

export interface RecoveryOptions extends UndoOptions {
  readonly stateDirectory: StateDirectory;
  /** `list` only reports what is left; `clear` (the default) undoes it. */
  readonly mode?: 'list' | 'clear' | undefined;
  /** Called for each thing that is found, cleared or kept, with one sentence. */
  readonly report?: ((message: string) => void) | undefined;
}

const DAMAGED_SUFFIX = '.damaged';
const TURN_WAIT_MS = 50;
/** A process that only lists locks a dead run's journal for a moment. */
const LISTED_TRIES = 25;
const LISTED_WAIT_MS = 20;

/**
 * Finds what dead runs left and undoes it, or only reports it. What cannot be undone stays in the journal for the next run. Safe to call
 * from several processes at once: one clears, the others wait for it.
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
    throw unusable(`cannot read the directory ${runs}`, error);
  });
  return all
    .filter((name) => name.endsWith(suffix))
    .sort()
    .map((name) => join(runs, name));
}

async function someDead(journals: readonly string[]): Promise<boolean> {
  for (const path of journals) {
    await using file = await openJournal(path, 'r');
    if (file !== undefined && (tryToLock(file, path, 'shared') || !(await ownerRuns(file)))) return true;
  }
  return false;
}

/** Undefined when it is gone: its run has ended, or another process has cleared it. @throws GantryError STATE_UNUSABLE */
async function openJournal(path: string, flags: string): Promise<FileHandle | undefined> {
  return await goneOr('open', path, () => open(path, flags));
}

/** @throws GantryError STATE_UNUSABLE */
function tryToLock(file: FileHandle, path: string, mode: 'shared' | 'exclusive'): boolean {
  try {
    return tryFlock(file.fd, mode);
  } catch (error) {
    throw unusable(`cannot lock the journal ${path}`, error);
  }
}

/** Undefined where the journal is gone. @throws GantryError STATE_UNUSABLE */
async function goneOr<T>(verb: string, path: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined;
    throw unusable(`cannot ${verb} the journal ${path}`, error);
  }
}

/** Whether the process that wrote the journal runs. If it does not but the journal is locked, another process is clearing it. */
async function ownerRuns(file: FileHandle): Promise<boolean> {
  const content = await readJournal(file).catch(() => undefined);
  return content?.header === undefined || (await isRunning(content.header));
}

/** Waits until no other process is clearing. What that process clears, such as a script that still writes to a disk, is gone then. */
async function takeTurn({ stateDirectory, signal }: RecoveryOptions, log: RecoveryLog): Promise<Lock> {
  let waitsFor: number | undefined;
  for (;;) {
    const directory = stateDirectory.locks;
    const result = await tryLock({ directory, name: 'recovery', mode: 'exclusive', operation: 'recovery', instance: '-', signal });
    if (!('heldBy' in result)) return result;
    const pid = result.heldBy[0]?.pid;
    if (pid !== undefined && pid !== waitsFor) log.say(`waiting for process ${pid}, which is clearing what a killed run left`);
    waitsFor = pid;
    await pause(TURN_WAIT_MS, signal);
  }
}

async function listRun(path: string, undos: readonly Remedy[], log: RecoveryLog): Promise<void> {
  await using file = await openJournal(path, 'r');
  if (file === undefined || !tryToLock(file, path, 'shared')) return;
  try {
    const { header, records } = await readJournal(file);
    if (header === undefined) return;
    for (const record of records.values()) {
      const remedy = undos.find(({ kind }) => kind === record.kind);
      const isThere = remedy !== undefined && isUndo(remedy) ? await remedy.isThere?.(record, header) : undefined;
      if (isThere ?? true) log.found(header, record);
    }
  } catch (error) {
    log.damaged.push(path);
    log.say(`the journal ${path} of a dead run cannot be read: ${errorText(error)}`);
  }
}

async function clearRun(path: string, options: RecoveryOptions, log: RecoveryLog): Promise<void> {
  await using file = await openJournal(path, 'r+');
  if (file === undefined || !(await lockDead(file, path, options.signal)) || !(await isStillNamed(file, path))) return;
  let content: JournalContent;
  try {
    content = await readJournal(file);
  } catch (error) {
    const aside = `${path}${DAMAGED_SUFFIX}`;
    await goneOr('set aside', path, () => rename(path, aside));
    log.damaged.push(aside);
    log.say(`the journal of a dead run cannot be read: ${errorText(error)}; nothing was cleared, and it was set aside as ${aside}`);
    return;
  }
  if (await undoRecords(file, content, options, log)) await goneOr('remove', path, () => unlink(path));
}

async function lockDead(file: FileHandle, path: string, signal: AbortSignal): Promise<boolean> {
  for (let tries = 0; !tryToLock(file, path, 'exclusive'); tries += 1) {
    if (tries === LISTED_TRIES || (await ownerRuns(file))) return false;
    await pause(LISTED_WAIT_MS, signal);
  }
  return true;
}
