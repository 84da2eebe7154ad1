import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import type { PendingInfo } from '@gantry/transport';
import { StoreError, assertKey, isStoreError } from '@gantry/transport';
import { STATUS } from '../sftp/protocol.ts';
import type { SftpClient } from '../sftp/sftp-client.ts';
import { hasStatus } from '../sftp/status-error.ts';
import type { Owner } from './owner.ts';
import { lookAtOwner, thisProcess } from './owner.ts';
import { readDirectory } from './read-directory.ts';
import { lookAt, makeDirectory, readSmallFile, removeFile, writeSmallFile } from './remote-files.ts';

/*
 * Unfinished writes lie where a local directory store keeps its own, so that either can list and clear what the other began:
 * ROOT/.gantry-pending/TOKEN/{record.json,data-ID}, and here `durable-ID` beside them.
 */

const PENDING_DIRECTORY = '.gantry-pending';

const TOKEN = /^[0-9a-f]{32}$/;

const DATA_NAME = /^data-[0-9a-f]{16}$/;

/** More than any record that was ever written, bytes. */
const MAX_RECORD_BYTES = 8 * 1024;

/** How many bytes of the data are durable, in so many decimal digits: always written whole, so never seen in part. */
export const MARK_DIGITS = 16;

/** How many unfinished writes are looked at at once. */
const AT_ONCE = 16;

/** How often a directory may be removed by somebody else, between being made and being used, before that is an error. */
const TRIES = 100;

/** What stands beside the data of an unfinished write. */
export interface PendingRecord {
  readonly key: string;
  readonly ifExists: 'fail' | 'replace';
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly owner: Owner;
  /** Name of the file that has its bytes: each writer's own, so that one which was taken for dead can do no harm. */
  readonly data: string;
  /** Name of the file that says how many of them are durable. Another than its writer's own, or none, where no peer wrote the data. */
  readonly mark?: string | undefined;
}

/** One unfinished write on the peer. */
export interface PendingPlace {
  readonly token: string;
  readonly directory: string;
}

/** Paths of the files of one writer. */
export interface WriterFiles {
  readonly data: string;
  readonly mark: string;
}

/** Whether `token` can be one of such a store's. */
export function isToken(token: string): boolean {
  return TOKEN.test(token);
}

/** @throws StoreError `not-found` for what can be no token */
export function pendingPlace(root: string, token: string): PendingPlace {
  if (!isToken(token)) throw unknownToken(token);
  return { token, directory: posix.join(root, PENDING_DIRECTORY, token) };
}

export function writerFiles({ directory }: PendingPlace, { data }: Pick<PendingRecord, 'data'>): WriterFiles {
  return { data: posix.join(directory, data), mark: posix.join(directory, markName(data)) };
}

function markName(data: string): string {
  return data.replace('data', 'durable');
}

function recordPath({ directory }: PendingPlace): string {
  return posix.join(directory, 'record.json');
}

function unknownToken(token: string): StoreError {
  return new StoreError('not-found', { message: `there is no unfinished write ${JSON.stringify(token.slice(0, 80))}`, key: token });
}

/** Makes the place of a new write, with its record. */
export async function makePlace(
  client: SftpClient,
  root: string,
  key: string,
  ifExists: PendingRecord['ifExists'],
): Promise<readonly [PendingPlace, PendingRecord]> {
  const place = pendingPlace(root, randomBytes(16).toString('hex'));
  try {
    await makePlaceDirectory(client, place);
    const record = await ownRecord({ key, ifExists, started: new Date().toISOString() });
    await writeRecord(client, place, record);
    return [place, record];
  } catch (error) {
    await removePlace(client, root, place).catch(() => undefined);
    throw error;
  }
}

/** Whoever ends the last unfinished write removes the directory of all, and may do so just before there is a new one. */
async function makePlaceDirectory(client: SftpClient, place: PendingPlace): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await makeDirectory(client, place.directory);
      return;
    } catch (error) {
      if (!hasStatus(error, STATUS.noSuchFile) || tries === TRIES) throw error;
    }
  }
}

/** A record that says that this process, and this very writer, has the write now. */
export async function ownRecord(record: Pick<PendingRecord, 'key' | 'ifExists' | 'started'>): Promise<PendingRecord> {
  const { key, ifExists, started } = record;
  const data = `data-${randomBytes(8).toString('hex')}`;
  return { key, ifExists, started, owner: await thisProcess(), data, mark: markName(data) };
}

/** A new record takes the old one's place at once, where the server can do that. */
export async function writeRecord(client: SftpClient, place: PendingPlace, record: PendingRecord): Promise<void> {
  const content = Buffer.from(JSON.stringify(record));
  const path = recordPath(place);
  if (!client.has('posixRename')) return writeSmallFile(client, path, content);
  await writeSmallFile(client, `${path}.new`, content);
  await client.posixRename(`${path}.new`, path);
}

/** @throws StoreError `not-found`; `integrity` for one that is damaged */
export async function readRecord(client: SftpClient, place: PendingPlace): Promise<PendingRecord> {
  const text = await readSmallFile(client, recordPath(place), MAX_RECORD_BYTES);
  if (text === undefined) throw unknownToken(place.token);
  try {
    const value: unknown = JSON.parse(text.toString('utf8'));
    if (isRecord(value)) {
      assertKey(value.key);
      return value;
    }
  } catch {
    // Said below, like any other damage.
  }
  throw new StoreError('integrity', {
    message: `the record of the unfinished write ${place.token} is damaged`,
    key: place.token,
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
  if ('mark' in value && typeof value.mark !== 'string') return false;
  return isOwner(owner);
}

function isOwner(owner: unknown): owner is Owner {
  if (typeof owner !== 'object' || owner === null || !('host' in owner && 'bootId' in owner && 'pid' in owner && 'startTime' in owner))
    return false;
  return [owner.host, owner.bootId, owner.startTime].every((text) => typeof text === 'string') && Number.isSafeInteger(owner.pid);
}

/**
 * How many bytes of a write are durable: what its mark says. One that a local store began has none: there all that was written
 * counts.
 */
export async function readDurableBytes(client: SftpClient, place: PendingPlace, record: PendingRecord): Promise<number> {
  const files = writerFiles(place, record);
  const [data, mark] = await Promise.all([lookAt(client, files.data), readSmallFile(client, files.mark, MARK_DIGITS)]);
  const size = data?.size ?? 0;
  if (record.mark !== markName(record.data)) return size;
  const text = mark?.toString('latin1') ?? '';
  return /^\d{16}$/.test(text) ? Math.min(size, Number(text)) : 0;
}

/** Every unfinished write in the store, damaged ones too. */
export async function* listPending(client: SftpClient, root: string): AsyncGenerator<PendingInfo> {
  const entries = await readDirectory(client, posix.join(root, PENDING_DIRECTORY));
  const tokens = entries.map(({ name }) => name).filter(isToken);
  tokens.sort();
  for (let at = 0; at < tokens.length; at += AT_ONCE) {
    const infos = await Promise.all(tokens.slice(at, at + AT_ONCE).map((token) => describe(client, pendingPlace(root, token))));
    yield* infos.filter((info) => info !== undefined);
  }
}

/** Undefined for one that ended meanwhile. */
async function describe(client: SftpClient, place: PendingPlace): Promise<PendingInfo | undefined> {
  const directory = await lookAt(client, place.directory);
  if (directory === undefined) return undefined;
  try {
    const record = await readRecord(client, place);
    const { key, started, owner } = record;
    const durableBytes = await readDurableBytes(client, place, record);
    const ownerText = `host ${owner.host}, process ${owner.pid}`;
    return { token: place.token, key, durableBytes, started: new Date(started), owner: await lookAtOwner(owner), ownerText };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    if (error.code === 'not-found' && (await lookAt(client, place.directory)) === undefined) return undefined;
    // Its writer was killed between making the place and saying for what, or the record is damaged: it must be found all the same.
    return {
      token: place.token,
      key: `unknown/${place.token}`,
      durableBytes: 0,
      started: new Date((directory.modifiedSeconds ?? 0) * 1000),
      owner: 'unknown',
      ownerText: 'nobody knows: it has no sound record',
    };
  }
}

/** Ends an unfinished write for good. Idempotent. @param own files of its writer, where they are known: that saves a look */
export async function removePlace(client: SftpClient, root: string, place: PendingPlace, own?: WriterFiles): Promise<void> {
  const path = recordPath(place);
  const paths = [path, `${path}.new`, ...(own === undefined ? [] : [own.data, own.mark])];
  await Promise.all(paths.map((each) => removeFile(client, each)));
  try {
    await client.removeDirectory(place.directory);
  } catch (error) {
    if (!hasStatus(error, STATUS.noSuchFile)) await removeStrangers(client, place, error);
  }
  // Empty again? Then the store looks as if it had never been written to.
  await client.removeDirectory(posix.join(root, PENDING_DIRECTORY)).catch(() => undefined);
}

/** Whatever else lies in the place. */
async function removeStrangers(client: SftpClient, place: PendingPlace, why: unknown): Promise<void> {
  const entries = await readDirectory(client, place.directory);
  if (entries.length === 0) throw why;
  for (const { name } of entries) await removeFile(client, posix.join(place.directory, name));
  await client.removeDirectory(place.directory);
}
