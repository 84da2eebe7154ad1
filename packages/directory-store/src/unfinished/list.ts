import type { OwnerState, PendingInfo } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory } from '../file-system.ts';
import { MARK_DIGITS, isFileSystemError } from '../file-system.ts';
import { boundedEntries } from '../limits.ts';
import { orMissing } from '../paths.ts';
import { describeOwner, stateOf } from './owner-record.ts';
import { walkToPending } from './places.ts';
import type { WriteRecord } from './record.ts';
import { readRecord } from './record.ts';
import { beginnerOf, isRemoval, isToken } from './token.ts';

/** How many unfinished writes are looked at at once. */
const AT_ONCE = 16;

/**
 * How long a write without a record must lie untouched before its writer counts as dead, ms. Version 0.1.0 made the record right after
 * the directory, over SSH within its time-outs of minutes at most.
 */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** What a writer can have made before its record was there. */
const OF_A_WRITER = /^(?:record\.json\.new|(?:data|durable)-[0-9a-f]{16})$/;

/** Every unfinished write in the store, damaged ones too. */
export async function* listUnfinished(
  context: StoreContext,
  signal: AbortSignal | undefined,
): AsyncGenerator<PendingInfo, void, undefined> {
  await using root = await orMissing(context.fileSystem.root(signal));
  await using pending = root === undefined ? undefined : await openPending(context, root);
  if (pending === undefined) return;
  const tokens: string[] = [];
  for await (const { name } of boundedEntries(pending)) if (isToken(name)) tokens.push(name);
  tokens.sort();
  for (let at = 0; at < tokens.length; at += AT_ONCE) {
    signal?.throwIfAborted();
    const infos = await Promise.all(tokens.slice(at, at + AT_ONCE).map((token) => describe(pending, token)));
    for (const info of infos) if (info !== undefined) yield info;
  }
}

async function openPending(context: StoreContext, root: Directory): Promise<Directory | undefined> {
  try {
    return await walkToPending(context, root);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'other-kind')) return undefined;
    throw error;
  }
}

/** Undefined for one that ended meanwhile, and for what is none. */
async function describe(pending: Directory, token: string): Promise<PendingInfo | undefined> {
  const found = await pending.find([token]);
  // What is no directory was not made here.
  if (found?.kind !== 'directory') return undefined;
  const unnamed = { token, key: `unknown/${token}`, durableBytes: 0, started: found.modified };
  if (isRemoval(token)) return { ...unnamed, owner: 'dead', ownerText: 'a process that had ended it, and was removing it' };
  const beginner = beginnerOf(token);
  if (beginner !== undefined) return { ...unnamed, owner: await stateOf(beginner), ownerText: describeOwner(beginner) };
  await using place = await orMissing(pending.walk([token]));
  if (place === undefined) return undefined;
  try {
    const record = await readRecord(place, token);
    const { key, started, owner } = record;
    const durableBytes = (await durableBytesOf(place, record)) ?? 0;
    return { token, key, durableBytes, started: new Date(started), owner: await stateOf(owner), ownerText: describeOwner(owner) };
  } catch (error) {
    if (!isStoreError(error) && !isFileSystemError(error, 'link', 'other-kind')) throw error;
    return await describeUnsound(pending, place, unnamed);
  }
}

/** Its record is missing or damaged: it must be found all the same. (The one that ended just now is none.) */
async function describeUnsound(
  pending: Directory,
  place: Directory,
  unnamed: Pick<PendingInfo, 'token' | 'key' | 'durableBytes' | 'started'>,
): Promise<PendingInfo | undefined> {
  if ((await pending.find([unnamed.token])) === undefined) return undefined;
  if (await isAbandoned(place)) {
    const ownerText = 'a process that was killed before it had written its record';
    return { ...unnamed, owner: 'dead' satisfies OwnerState, ownerText };
  }
  return { ...unnamed, owner: 'unknown', ownerText: 'an unknown process: its record is missing or damaged' };
}

/** Whether there is nothing but what a writer makes before its record, and all of it is old. */
async function isAbandoned(place: Directory): Promise<boolean> {
  let newest = place.found.modified.getTime();
  for await (const { name } of boundedEntries(place)) {
    const found = await place.find([name]);
    if (!OF_A_WRITER.test(name) || (found !== undefined && found.kind !== 'file')) return false;
    newest = Math.max(newest, found?.modified.getTime() ?? 0);
  }
  return Date.now() - newest > ABANDONED_MS;
}

/** How many bytes of a write are durable: what its mark says; where it has none, all that were written count. Undefined without data. */
export async function durableBytesOf(place: Directory, { data, mark }: WriteRecord): Promise<number | undefined> {
  const [found, bytes] = await Promise.all([place.find([data]), mark === undefined ? undefined : place.readSmall([mark], MARK_DIGITS)]);
  if (found?.kind !== 'file') return undefined;
  if (mark === undefined) return found.size;
  const text = bytes === undefined ? '' : new TextDecoder('latin1').decode(bytes);
  return /^\d{16}$/.test(text) ? Math.min(found.size, Number(text)) : 0;
}
