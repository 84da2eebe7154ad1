import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { StoreError, assertKey, thisProcess } from '@gantry/transport';
import type { Directory } from '../file-system.ts';
import { isFileSystemError } from '../file-system.ts';
import { isJsonObject } from '../json.ts';
import type { RecordedOwner } from './owner-record.ts';
import { ownerDocument, parseOwner } from './owner-record.ts';

export const RECORD_FILE = 'record.json';

const DATA_NAME = /^data-[0-9a-f]{16}$/;

/** Larger than any valid record. */
const MAX_RECORD_BYTES = 8 * 1024;

export type IfExists = 'fail' | 'replace';

/** The record beside the data of an unfinished write. */
export interface WriteRecord {
  readonly key: string;
  readonly ifExists: IfExists;
  /** ISO 8601, UTC. */
  readonly started: string;
  readonly owner: RecordedOwner;
  /** Name of the file with its bytes. Each writer has its own, so that a writer wrongly taken for dead can do no harm. */
  readonly data: string;
  /** Name of the file with the number of durable bytes; undefined if all bytes in the file count. */
  readonly mark: string | undefined;
}

/** The files of a write beside its record. */
export function namesOf({ data, mark }: Pick<WriteRecord, 'data' | 'mark'>): readonly string[] {
  return mark === undefined ? [data] : [data, mark];
}

/** Whether a file has the name of some writer's data or mark. */
export function isWritersFile(name: string): boolean {
  return DATA_NAME.test(name.replace(/^durable-/, 'data-'));
}

/** A new record, with this process as owner and a data file of its own. */
export async function ownRecord(
  about: Pick<WriteRecord, 'key' | 'ifExists' | 'started'>,
  options: { readonly withMark: boolean },
): Promise<WriteRecord & { readonly document: Uint8Array }> {
  const { key, ifExists, started } = about;
  const owner = await thisProcess();
  const id = randomBytes(8).toString('hex');
  const data = `data-${id}`;
  const mark = options.withMark ? `durable-${id}` : undefined;
  const document = Buffer.from(JSON.stringify({ key, ifExists, started, owner: ownerDocument(owner), data, mark }));
  return { key, ifExists, started, owner, data, mark, document };
}

/** Writes the first record of a write. */
export async function createRecord(directory: Directory, document: Uint8Array): Promise<void> {
  await directory.createSmall(RECORD_FILE, document);
}

/** Replaces an older record, atomically if the file system can do that. */
export async function replaceRecord(directory: Directory, document: Uint8Array, options: { readonly atOnce: boolean }): Promise<void> {
  const fresh = `record-${randomBytes(8).toString('hex')}.json`;
  await directory.createSmall(fresh, document);
  if (!options.atOnce) await directory.remove(RECORD_FILE);
  await directory.replace(fresh, directory, RECORD_FILE);
  await directory.sync();
}

/** @throws StoreError `not-found` if there is none; `integrity` if it is damaged */
export async function readRecord(directory: Directory, token: string): Promise<WriteRecord> {
  const bytes = await readBytes(directory, token);
  if (bytes === undefined) throw unknownToken(token);
  const record = parseRecord(Buffer.from(bytes).toString('utf8'));
  if (record !== undefined) return record;
  throw damaged(token);
}

async function readBytes(directory: Directory, token: string): Promise<Uint8Array | undefined> {
  try {
    return await directory.readSmall([RECORD_FILE], MAX_RECORD_BYTES);
  } catch (error) {
    if (isFileSystemError(error, 'link', 'other-kind')) throw damaged(token);
    throw error;
  }
}

function parseRecord(text: string): WriteRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isJsonObject(value)) return undefined;
    const { key, ifExists, started, owner, data, mark } = value;
    if (typeof key !== 'string' || (ifExists !== 'fail' && ifExists !== 'replace')) return undefined;
    assertKey(key);
    if (typeof data !== 'string' || !DATA_NAME.test(data)) return undefined;
    if (typeof started !== 'string' || Number.isNaN(Date.parse(started))) return undefined;
    const who = parseOwner(owner);
    if (who === undefined) return undefined;
    // Another writer's mark does not belong to this data: version 0.1.0 could leave one.
    const own = data.replace('data-', 'durable-');
    return { key, ifExists, started, owner: who, data, mark: mark === own ? own : undefined };
  } catch {
    return undefined;
  }
}

function damaged(token: string): StoreError {
  return new StoreError('integrity', {
    message: `the record of the unfinished write ${token} is damaged`,
    key: token,
    hint: 'The write can be cleared, but not resumed.',
  });
}

export function unknownToken(token: string): StoreError {
  return new StoreError('not-found', { message: `there is no unfinished write ${JSON.stringify(token.slice(0, 80))}`, key: token });
}
