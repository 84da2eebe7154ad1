import type { FileHandle } from 'node:fs/promises';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { identifyProcess } from '@gantry/transport';

import { GantryError } from '../report/errors.ts';
import type { OperationName } from '../report/events.ts';
import { tryFlock } from '../system/flock.ts';
import { syncDirectory } from '../system/durable.ts';
import { JournalWriter } from './journal-file.ts';
import { isStillNamed } from './lock-file.ts';
import type { RunRecord } from './run-record.ts';
import type { StateDirectory } from './state-directory.ts';
import { unusable } from './state-directory.ts';

/** The suffix of a journal's file name. */
export const JOURNAL_SUFFIX = '.journal';

export interface RunOptions {
  readonly stateDirectory: StateDirectory;
  readonly operation: OperationName;
  readonly instance: string;
}

/**
 * A running operation and its journal, which lists what the next run must clear if this one is killed. Disposing removes the journal
 * when everything was forgotten; otherwise the journal stays for the next run.
 */
export interface Run extends AsyncDisposable {
  /** Unique on this machine, safe in file names and LVM names: `gantry-20261123T081500Z-4711`. */
  readonly id: string;
  /**
   * Resolves when the record is on disk: only then may the thing be made. Returns the number to forget it by. With `inPlaceOf`, the
   * record replaces the one of that number.
   * @throws GantryError STATE_UNUSABLE
   */
  remember(record: RunRecord, inPlaceOf?: number): Promise<number>;
  /** To be called when the thing is gone. @throws GantryError STATE_UNUSABLE */
  forget(id: number): Promise<void>;
}

/** The run that this process started last: what it has left, such as a snapshot that is kept, may still have its name. */
let last = { base: '', number: 0 };

/** Starts a run. @throws GantryError STATE_UNUSABLE */
export async function openRun(options: RunOptions): Promise<Run> {
  const started = new Date();
  const base = `gantry-${started.toISOString().replaceAll(/[-:]|\.\d+/g, '')}-${process.pid}`;
  for (;;) {
    const number = last.base === base ? last.number + 1 : 1;
    last = { base, number };
    const id = number === 1 ? base : `${base}-${number}`;
    const file = await createJournal(join(options.stateDirectory.runs, `${id}${JOURNAL_SUFFIX}`));
    if (file !== undefined) return await beginRun(id, file, started, options);
  }
}

/** Creates and locks the file; undefined when the name is taken, or when a recovery removed the file before it was locked. */
async function createJournal(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'wx', 0o600);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return undefined;
    throw unusable(`cannot create the journal ${path}`, error);
  }
  await using scope = new AsyncDisposableStack();
  scope.use(file);
  try {
    if (!tryFlock(file.fd, 'exclusive') || !(await isStillNamed(file, path))) return undefined;
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw unusable(`cannot lock the journal ${path}`, error);
  }
  scope.move();
  return file;
}

async function beginRun(id: string, file: FileHandle, started: Date, options: RunOptions): Promise<Run> {
  const { stateDirectory, operation, instance } = options;
  const path = join(stateDirectory.runs, `${id}${JOURNAL_SUFFIX}`);
  const journal = new JournalWriter(file, 0);
  try {
    const us = await identifyProcess(process.pid);
    if (us === undefined) throw unusable('cannot read /proc/self/stat: is /proc mounted?');
    await journal.append({ runId: id, operation, instance, ...us, started: started.toISOString() });
    await syncDirectory(stateDirectory.runs);
  } catch (error) {
    await unlink(path).catch(() => undefined);
    await file.close();
    throw error instanceof GantryError ? error : unusable(`cannot make the journal ${path} durable`, error);
  }
  return createRun(id, path, file, journal);
}

function createRun(id: string, path: string, file: FileHandle, journal: JournalWriter): Run {
  const remembered = new Set<number>();
  let last = 0;
  let closed = false;
  return {
    id,
    async remember(record, inPlaceOf) {
      const number = inPlaceOf ?? (last += 1);
      await journal.append({ remember: number, record });
      remembered.add(number);
      return number;
    },
    async forget(number) {
      if (!remembered.has(number)) return;
      await journal.append({ forget: number });
      remembered.delete(number);
    },
    async [Symbol.asyncDispose]() {
      if (closed) return;
      closed = true;
      try {
        // Removed while it is still locked: a recovery that opened it meanwhile sees that the name is gone. A journal that cannot be
        // removed lists nothing, so this must not fail an operation that succeeded.
        if (remembered.size === 0) await unlink(path).catch(() => undefined);
      } finally {
        await file.close();
      }
    },
  };
}
