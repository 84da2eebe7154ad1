import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { readFile, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PendingInfo } from '@gantry/transport';
import { StoreError, assertKey, isStoreError } from '@gantry/transport';
import { makeDirectory, makeRoot, syncDirectory } from './durable.ts';
import type { Owner } from './owner.ts';
import { lookAtOwner, thisProcess } from './owner.ts';
import { systemErrorCode } from './system-error.ts';

/** Where unfinished writes are, in the store's own file system, so that committing is a link or a rename. */
const PENDING_DIRECTORY = '.gantry-pending';

const TOKEN = /^[0-9a-f]{32}$/;

/** A place that is being made, named after who makes it: its record comes later. Number, start time, boot and host follow the token. */
const BEGINNING = /^new-[0-9a-f]{32}~(\d+)~(\d*)~([0-9a-f-]*)~([\w.!'()*%-]*)$/;

/** A place that is being removed: its record may be gone already. */
const REMOVAL = /^gone-[0-9a-f]{32}$/;

const DATA_NAME = /^data-[0-9a-f]{16}$/;

/** What stands beside the data of an unfinished write. */
export interface PendingRecord {
  readonly key: string;
  readonly ifExists: 'fail' | 'replace';
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly owner: Owner;
  /** Name of the file that has its bytes: each writer's own, so that one which was taken for dead can do no harm. */
  readonly data: string;
}

/** One unfinished write on disk: `ROOT/.gantry-pending/TOKEN/{record.json,data-ID}`. */
export interface PendingPlace {
  readonly token: string;
  readonly directory: string;
}

/** Whether `token` can be one of this store's: that of a write, or of what a killed process left at its very beginning or end. */
export function isToken(token: string): boolean {
  return [TOKEN, BEGINNING, REMOVAL].some((form) => form.test(token));
}

function beginningName(token: string, { host, bootId, pid, startTime }: Owner): string {
  return `new-${token}~${pid}~${startTime}~${bootId}~${encodeURIComponent(host)}`;
}

export function pendingPlace(root: string, token: string): PendingPlace {
  if (!isToken(token)) throw unknownToken(token);
  return { token, directory: join(root, PENDING_DIRECTORY, token) };
}

/** A name for one writer's data that no other has. */
export function newDataName(): string {
  return `data-${randomBytes(8).toString('hex')}`;
}

function unknownToken(token: string): StoreError {
  return new StoreError('not-found', { message: `there is no unfinished write ${JSON.stringify(token.slice(0, 80))}`, key: token });
}

/**
 * Makes the place of a new write, its record durable. It gets its name when the record is in it: so nobody, killed at any moment,
 * leaves a place of which nobody knows whose it is.
 */
export async function makePlace(root: string, key: string, ifExists: PendingRecord['ifExists']): Promise<[PendingPlace, PendingRecord]> {
  const token = randomBytes(16).toString('hex');
  const place = pendingPlace(root, token);
  const record = { key, ifExists, started: new Date().toISOString(), owner: await thisProcess(), data: newDataName() };
  const beginning = pendingPlace(root, beginningName(token, record.owner));
  try {
    await makeRoot(root);
    await makeDirectory(root, join(PENDING_DIRECTORY, beginning.token));
    await writeRecord(beginning, record);
    await rename(beginning.directory, place.directory);
    await syncDirectory(join(root, PENDING_DIRECTORY));
    return [place, record];
  } catch (error) {
    for (const left of [beginning, place]) await removePlace(root, left).catch(() => undefined);
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
  if (!('key' in value && 'ifExists' in value && 'started' in value && 'owner' in value && 'data' in value)) return false;
  const { key, ifExists, started, owner, data } = value;
  if (typeof data !== 'string' || !DATA_NAME.test(data)) return false;
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
    return (await readdir(join(root, PENDING_DIRECTORY))).filter(isToken).toSorted();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Undefined for one that ended meanwhile, and for what is none. */
async function describe(place: PendingPlace): Promise<PendingInfo | undefined> {
  const directory = await lookAt(place.directory);
  // What is no directory was not made here.
  if (directory?.isDirectory() !== true) return undefined;
  const unnamed = { token: place.token, key: `unknown/${place.token}`, durableBytes: 0, started: directory.mtime };
  if (REMOVAL.test(place.token)) return { ...unnamed, owner: 'dead', ownerText: 'a process that had ended it, and was removing it' };
  const maker = beginnerOf(place);
  if (maker !== undefined) return { ...unnamed, owner: await lookAtOwner(maker), ownerText: describeOwner(maker) };
  try {
    const { key, started, owner, data } = await readRecord(place);
    const durableBytes = (await lookAt(join(place.directory, data)))?.size ?? 0;
    const ownerText = describeOwner(owner);
    return { token: place.token, key, durableBytes, started: new Date(started), owner: await lookAtOwner(owner), ownerText };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    // Damaged, or made by something else: it must be found all the same. (The one that ended just now is none.)
    if ((await lookAt(place.directory)) === undefined) return undefined;
    return { ...unnamed, owner: 'unknown', ownerText: 'nobody knows: it has no sound record' };
  }
}

/** Who was making a place; undefined for one that was made. */
function beginnerOf({ token }: PendingPlace): Owner | undefined {
  const [, pid, startTime, bootId, host] = BEGINNING.exec(token) ?? [];
  if (pid === undefined || startTime === undefined || bootId === undefined || host === undefined) return undefined;
  return { pid: Number(pid), startTime, bootId, host: decodeHost(host) };
}

function decodeHost(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function describeOwner({ host, pid }: Owner): string {
  return `host ${host}, process ${pid}`;
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
  // A removal that is cut short may have taken the record; the name still says that nobody is at work there.
  const removal = join(root, PENDING_DIRECTORY, `gone-${place.token}`);
  if (TOKEN.test(place.token)) await rename(place.directory, removal).catch(() => undefined);
  await rm(removal, { recursive: true, force: true });
  await rm(place.directory, { recursive: true, force: true });
  // Empty again? Then the store looks as if it had never been written to.
  await rmdir(join(root, PENDING_DIRECTORY)).catch(() => undefined);
}
