import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { link, open, readFile, readdir, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { HostProcess, ProcessIdentity } from '@gantry/transport';
import { makeDirectoryDurably, syncDirectory } from '../system/durable.ts';
import { errnoName } from '../system/errno-name.ts';
import { tryFlock } from '../system/flock.ts';
import { hostProcessSchema } from '../system/process-owner.ts';
import type { GantryError } from '../report/errors.ts';
import { isStillNamed, removeUnlocked } from '../runs/lock-file.ts';
import type { StateDirectory } from '../runs/state-directory.ts';
import { unusable } from '../runs/state-directory.ts';

/** A receiver's record of a move, from which its outcome can be found out later. */
export interface MoveRecord {
  readonly moveId: string;
  /** The instance's name on the source (`instance`) and here (`target`). */
  readonly instance: string;
  readonly target: string;
  /** The node that the instance came from. */
  readonly node: string;
  /** ISO 8601, UTC. */
  readonly time: string;
  /** `open` while `receiver` runs; if that process is gone, an open record counts as failed. */
  readonly state: 'open' | 'committed' | 'failed';
  /** Without a host in records of the first version. */
  readonly receiver: ProcessIdentity | HostProcess;
  readonly disks: readonly { readonly disk: number; readonly state: 'untouched' | 'partial' | 'complete' | 'committed' }[];
  /** Why a failed move failed. */
  readonly reason?: string;
}

const recordSchema: z.ZodType<MoveRecord> = z.object({
  moveId: z.string(),
  instance: z.string(),
  target: z.string(),
  node: z.string(),
  time: z.iso.datetime(),
  state: z.enum(['open', 'committed', 'failed']),
  receiver: z.union([hostProcessSchema, z.object({ pid: z.int(), startTime: z.int(), bootId: z.string() })]),
  disks: z.array(z.object({ disk: z.int(), state: z.enum(['untouched', 'partial', 'complete', 'committed']) })),
  reason: z.string().exactOptional(),
});

/** How long records are kept; they are needed within hours. */
const KEEP_MS = 90 * 24 * 60 * 60 * 1000;
const SUFFIX = '.json';
const TEMPORARY_SUFFIX = '.new';
/** A sweep that comes between creating a file and locking it is rare; this many in a row are something else. */
const MAX_TEMPORARY_FILES = 100;

/**
 * Writes the first record of a move; it is on disk when this resolves.
 *
 * @returns false if there is a record of that move already
 * @throws GantryError `STATE_UNUSABLE`
 */
export async function createMoveRecord(state: StateDirectory, record: MoveRecord): Promise<boolean> {
  try {
    await makeDirectoryDurably(movesDirectory(state), 0o700);
    await using temporary = await writeTemporary(state, record);
    await link(temporary.path, recordPath(state, record.moveId));
    await syncDirectory(movesDirectory(state));
    return true;
  } catch (error) {
    if (errnoName(error) === 'EEXIST') return false;
    throw cannotWrite(record, error);
  }
}

/**
 * Replaces an earlier record of the same move; the new one is on disk when this resolves.
 *
 * @param onPlaced called when readers find the new record, although a power cut may still bring the earlier one back
 * @throws GantryError `STATE_UNUSABLE`
 */
export async function replaceMoveRecord(state: StateDirectory, record: MoveRecord, onPlaced?: () => void): Promise<void> {
  try {
    await using temporary = await writeTemporary(state, record);
    await rename(temporary.path, recordPath(state, record.moveId));
    onPlaced?.();
    await syncDirectory(movesDirectory(state));
  } catch (error) {
    throw cannotWrite(record, error);
  }
}

/** Writes a record to a temporary file, durable except for its name. Disposing removes the file. */
async function writeTemporary(state: StateDirectory, record: MoveRecord): Promise<AsyncDisposable & { readonly path: string }> {
  await using scope = new AsyncDisposableStack();
  const { path, file } = await createTemporary(state, record.moveId);
  scope.use(file);
  scope.defer(() => unlink(path).catch(() => undefined));
  await file.writeFile(`${JSON.stringify(record)}\n`);
  await file.sync();
  const kept = scope.move();
  return { path, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** Creates and locks a file: the lock keeps {@link sweepMoveRecords} from removing it. A sweep may come before the lock. */
async function createTemporary(state: StateDirectory, moveId: string): Promise<{ readonly path: string; readonly file: FileHandle }> {
  for (let tries = 0; tries < MAX_TEMPORARY_FILES; tries += 1) {
    const path = `${recordPath(state, moveId)}.${randomUUID()}${TEMPORARY_SUFFIX}`;
    await using scope = new AsyncDisposableStack();
    const file = scope.use(await open(path, 'wx', 0o600));
    scope.defer(() => unlink(path).catch(() => undefined));
    if (!tryFlock(file.fd, 'exclusive') || !(await isStillNamed(file, path))) continue;
    scope.move();
    return { path, file };
  }
  throw new Error(`each of ${MAX_TEMPORARY_FILES} temporary files was locked or removed by another process`);
}

function cannotWrite({ moveId }: MoveRecord, error: unknown): GantryError {
  return unusable(`cannot write the record of the move ${moveId}`, error);
}

/** Makes the record that {@link readMoveRecord} found durable, before anybody relies on it. @throws GantryError `STATE_UNUSABLE` */
export async function syncMoveRecord(state: StateDirectory, moveId: string): Promise<void> {
  try {
    await using file = await open(recordPath(state, moveId), 'r');
    await file.sync();
    await syncDirectory(movesDirectory(state));
  } catch (error) {
    throw unusable(`cannot make the record of the move ${moveId} durable`, error);
  }
}

/** Undefined where there is none. @throws GantryError `STATE_UNUSABLE` */
export async function readMoveRecord(state: StateDirectory, moveId: string): Promise<MoveRecord | undefined> {
  const path = recordPath(state, moveId);
  try {
    return recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined;
    throw unusable(`cannot read the record ${path}`, error);
  }
}

/** Removes old records, and the temporary files of killed processes. */
export async function sweepMoveRecords(state: StateDirectory): Promise<void> {
  const directory = movesDirectory(state);
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    const path = join(directory, name);
    if (name.endsWith(TEMPORARY_SUFFIX)) await removeUnlocked(path);
    else if (Date.now() - (await changedMs(path)) > KEEP_MS) await unlink(path).catch(() => undefined);
  }
}

async function changedMs(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? Infinity;
}

function recordPath(state: StateDirectory, moveId: string): string {
  return join(movesDirectory(state), `${moveId}${SUFFIX}`);
}

function movesDirectory(state: StateDirectory): string {
  return join(state.path, 'moves');
}
