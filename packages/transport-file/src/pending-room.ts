import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { readFile, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PendingInfo } from '@gantry/transport';
import { StoreError, assertKey, isStoreError } from '@gantry/transport';
import { makeDirectory, syncDirectory } from './durable.ts';
import type { Owner } from './owner.ts';
import { lookAtOwner, thisProcess } from './owner.ts';
import { systemErrorCode } from './system-error.ts';

/** Where unfinished writes are, in the store's own file system, so that committing is a link or a rename. */
const PENDING_DIRECTORY = '.gantry-pending';

const TOKEN = /^[0-9a-f]{32}$/;

/** What stands beside the data of an unfinished write. */
export interface PendingRecord {
  readonly key: string;
  readonly ifExists: 'fail' | 'replace';
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly owner: Owner;
}

/** One unfinished write on disk: `ROOT/.gantry-pending/TOKEN/{record.json,data}`. */
export interface PendingPlace {
  readonly token: string;
  readonly directory: string;
  readonly data: string;
}

/** Whether `token` can be one of this store's. */
export function isToken(token: string): boolean {
  return TOKEN.test(token);
}

export function pendingPlace(root: string, token: string): PendingPlace {
  if (!isToken(token)) throw unknownToken(token);
  const directory = join(root, PENDING_DIRECTORY, token);
  return { token, directory, data: join(directory, 'data') };
}

function unknownToken(token: string): StoreError {
  return new StoreError('not-found', { message: `there is no unfinished write ${JSON.stringify(token.slice(0, 80))}`, key: token });
}

/** Makes the place of a new write, its record durable. */
export async function makePlace(root: string, key: string, ifExists: PendingRecord['ifExists']): Promise<PendingPlace> {
  const place = pendingPlace(root, randomBytes(16).toString('hex'));
  try {
    await makeDirectory(place.directory);
    await writeRecord(place, { key, ifExists, started: new Date().toISOString(), owner: await thisProcess() });
    return place;
  } catch (error) {
    await removePlace(root, place).catch(() => undefined);
    throw error;
  }
}

/** The record is always whole: a new one takes the old one's place at once. */
export async function writeRecord(place: PendingPlace, record: PendingRecord): Promise<void> {
  const path = join(place.directory, 'record.json');
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600, flush: true });
  await rename(`${path}.new`, path);
  await syncDirectory(place.directory);
}

/** @throws StoreError `not-found` */
export async function readRecord(place: PendingPlace): Promise<PendingRecord> {
  let text: string;
  try {
    text = await readFile(join(place.directory, 'record.json'), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw unknownToken(place.token);
    throw error;
  }
  return parseRecord(text, place.token);
}

function parseRecord(text: string, token: string): PendingRecord {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) {
      assertKey(value.key);
      return value;
    }
  } catch {
    // Said below, like any other damage.
  }
  throw new StoreError('integrity', {
    message: `the record of the unfinished write ${token} is damaged`,
    key: token,
    hint: 'It can be cleared, but not resumed.',
  });
}

function isRecord(value: unknown): value is PendingRecord {
  if (typeof value !== 'object' || value === null) return false;
  if (!('key' in value && 'ifExists' in value && 'started' in value && 'owner' in value)) return false;
  const { key, ifExists, started, owner } = value;
  if (typeof key !== 'string' || (ifExists !== 'fail' && ifExists !== 'replace')) return false;
  if (typeof started !== 'string' || Number.isNaN(Date.parse(started))) return false;
  if (typeof owner !== 'object' || owner === null || !('host' in owner && 'bootId' in owner && 'pid' in owner && 'startTime' in owner))
    return false;
  return [owner.host, owner.bootId, owner.startTime].every((text) => typeof text === 'string') && Number.isSafeInteger(owner.pid);
}

/** Every unfinished write in the store, damaged ones too. */
export async function* listPending(root: string): AsyncGenerator<PendingInfo> {
  for (const token of await tokensIn(root)) {
    const place = pendingPlace(root, token);
    const info = await describe(place);
    if (info !== undefined) yield info;
  }
}

async function tokensIn(root: string): Promise<readonly string[]> {
  try {
    return (await readdir(join(root, PENDING_DIRECTORY))).filter((name) => TOKEN.test(name)).toSorted();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Undefined for one that ended meanwhile. */
async function describe(place: PendingPlace): Promise<PendingInfo | undefined> {
  const directory = await lookAt(place.directory);
  if (directory === undefined) return undefined;
  const durableBytes = (await lookAt(place.data))?.size ?? 0;
  try {
    const { key, started, owner } = await readRecord(place);
    const ownerText = `host ${owner.host}, process ${owner.pid}`;
    return { token: place.token, key, durableBytes, started: new Date(started), owner: await lookAtOwner(owner), ownerText };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    // Its writer was killed between making the place and saying for what, or the record is damaged: it must be found all the same.
    const ownerText = 'nobody knows: it has no sound record';
    return { token: place.token, key: `unknown/${place.token}`, durableBytes, started: directory.mtime, owner: 'unknown', ownerText };
  }
}

async function lookAt(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Ends an unfinished write for good. Idempotent. */
export async function removePlace(root: string, place: PendingPlace): Promise<void> {
  await rm(place.directory, { recursive: true, force: true });
  // Empty again? Then the store looks as if it had never been written to.
  await rmdir(join(root, PENDING_DIRECTORY)).catch(() => undefined);
}
