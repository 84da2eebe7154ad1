import type { OwnerState, PendingInfo } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory } from '../file-system.ts';
import { MARK_DIGITS, isFileSystemError } from '../file-system.ts';
import { boundedEntries } from '../limits.ts';
import { orMissing } from '../paths.ts';
import { describeOwner, stateOf } from './owner-record.ts';
import { walkToPending } from './write-directory.ts';
import type { WriteRecord } from './record.ts';
import { readRecord } from './record.ts';
import { starterOf, isRemoval, isToken } from './token.ts';

/** How many unfinished writes are read in parallel. */
const MAX_PARALLEL_READS = 16;

/**
 * After how long without a change a write without a record counts as abandoned, ms. Version 0.1.0 wrote the record right after making the
 * directory: over SSH within its time-outs, which are minutes at most.
 */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** Files that a writer can have made before its record. */
const EARLY_FILE = /^(?:record\.json\.new|(?:data|durable)-[0-9a-f]{16})$/;

/** Every unfinished write in the store, including damaged ones. */
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
  for (let at = 0; at < tokens.length; at += MAX_PARALLEL_READS) {
    signal?.throwIfAborted();
    const infos = await Promise.all(tokens.slice(at, at + MAX_PARALLEL_READS).map((token) => describe(pending, token)));
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

/** Undefined for a write that has ended in the meantime, and for anything else. */
async function describe(pending: Directory, token: string): Promise<PendingInfo | undefined> {
  const found = await pending.find([token]);
  // Gantry makes only directories here.
  if (found?.kind !== 'directory') return undefined;
  const unnamed = { token, key: `unknown/${token}`, durableBytes: 0, started: found.modified };
  if (isRemoval(token)) return { ...unnamed, owner: 'dead', ownerText: 'a process that was killed while removing it' };
  const starter = starterOf(token);
  if (starter !== undefined) return { ...unnamed, owner: await stateOf(starter), ownerText: describeOwner(starter) };
  await using directory = await orMissing(pending.walk([token]));
  if (directory === undefined) return undefined;
  try {
    const record = await readRecord(directory, token);
    const { key, started, owner } = record;
    const durableBytes = (await durableBytesOf(directory, record)) ?? 0;
    return { token, key, durableBytes, started: new Date(started), owner: await stateOf(owner), ownerText: describeOwner(owner) };
  } catch (error) {
    if (!isStoreError(error) && !isFileSystemError(error, 'link', 'other-kind')) throw error;
    return await describeDamaged(pending, directory, unnamed);
  }
}

/** A write whose record is missing or damaged must be listed too, unless it has just ended. */
async function describeDamaged(
  pending: Directory,
  directory: Directory,
  unnamed: Pick<PendingInfo, 'token' | 'key' | 'durableBytes' | 'started'>,
): Promise<PendingInfo | undefined> {
  if ((await pending.find([unnamed.token])) === undefined) return undefined;
  if (await isAbandoned(directory)) {
    const ownerText = 'a process that was killed before it wrote its record';
    return { ...unnamed, owner: 'dead' satisfies OwnerState, ownerText };
  }
  return { ...unnamed, owner: 'unknown', ownerText: 'an unknown process: its record is missing or damaged' };
}

/** Whether there are only files that a writer makes before its record, and all are old. */
async function isAbandoned(directory: Directory): Promise<boolean> {
  let newest = directory.found.modified.getTime();
  for await (const { name } of boundedEntries(directory)) {
    const found = await directory.find([name]);
    if (!EARLY_FILE.test(name) || (found !== undefined && found.kind !== 'file')) return false;
    newest = Math.max(newest, found?.modified.getTime() ?? 0);
  }
  return Date.now() - newest > ABANDONED_MS;
}

/** How many bytes of a write are durable: the number in its mark, or without a mark the size of its data. Undefined without data. */
export async function durableBytesOf(directory: Directory, { data, mark }: WriteRecord): Promise<number | undefined> {
  const [found, bytes] = await Promise.all([
    directory.find([data]),
    mark === undefined ? undefined : directory.readSmall([mark], MARK_DIGITS),
  ]);
  if (found?.kind !== 'file') return undefined;
  if (mark === undefined) return found.size;
  const text = bytes === undefined ? '' : new TextDecoder('latin1').decode(bytes);
  return /^\d{16}$/.test(text) ? Math.min(found.size, Number(text)) : 0;
}
