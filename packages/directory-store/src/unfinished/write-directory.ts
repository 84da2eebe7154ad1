import { StoreError, thisProcess } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory, FileInfo } from '../file-system.ts';
import { isFileSystemError } from '../file-system.ts';
import { boundedEntries } from '../limits.ts';
import { MAX_TRIES, orMissing } from '../paths.ts';
import { warnOfOthers } from '../root.ts';
import type { IfExists, WriteRecord } from './record.ts';
import { RECORD_FILE, createRecord, ownRecord } from './record.ts';
import { beginningName, isWriteToken, newToken, removalName } from './token.ts';

/** The directory of unfinished writes, in the store's own file system, so that a commit is a link or a rename. */
const PENDING_DIRECTORY = '.gantry-pending';

const WRITABLE_BY_OTHERS = 0o022;

/** The files of an unfinished write: its durable record and its open directory. */
export interface WriteFiles {
  readonly token: string;
  readonly record: WriteRecord;
  readonly directory: Directory;
}

/**
 * Makes the directory of a new write, with a durable record. It is renamed to its token once it has the record, so that a process killed
 * at any moment never leaves a directory of unknown owner.
 *
 * @param root information on the store's directory
 */
export async function makeWriteDirectory(
  context: StoreContext,
  root: FileInfo | undefined,
  key: string,
  ifExists: IfExists,
): Promise<WriteFiles> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryToMakeWriteDirectory(context, root, key, ifExists);
    } catch (error) {
      // The end of the last unfinished write removes the common directory, possibly just before a new write is in it.
      if (!isFileSystemError(error, 'missing')) throw error;
      if (tries === MAX_TRIES) throw cannotMakeDirectory(context, error);
    }
  }
}

async function tryToMakeWriteDirectory(
  context: StoreContext,
  rootFound: FileInfo | undefined,
  key: string,
  ifExists: IfExists,
): Promise<WriteFiles> {
  const { fileSystem } = context;
  const { inOrder } = await fileSystem.capabilities();
  await using root = await fileSystem.root();
  await using pending = await makePendingDirectory(context, root);
  const token = newToken();
  const beginning = beginningName(token, await thisProcess());
  const { document, ...record } = await ownRecord({ key, ifExists, started: new Date().toISOString() }, { withMark: !inOrder });
  try {
    await pending.make(beginning);
    await using directory = await pending.walk([beginning]);
    await Promise.all([assertOwn(context, rootFound, pending, beginning), createRecord(directory, document)]);
    await pending.replace(beginning, pending, token);
    return { token, record, directory: await pending.walk([token]) };
  } catch (error) {
    for (const left of [beginning, token]) await removeTree(pending, left).catch(() => undefined);
    // Where the end of another write has removed it, a third one may have made it again, and not yet be in it: two that began at once
    // would remove it from each other for ever.
    if (!isFileSystemError(error, 'missing')) await root.removeDirectory(PENDING_DIRECTORY).catch(() => undefined);
    throw error;
  }
}

/** Opens the directory of a write. @throws FileSystemError `missing`; StoreError `denied` */
export async function openWriteDirectory(context: StoreContext, token: string): Promise<Directory> {
  await using root = await context.fileSystem.root();
  await using pending = await walkToPending(context, root);
  return await pending.walk([token]);
}

/** Opens the directory of all unfinished writes. @throws FileSystemError `missing`, `other-kind`; StoreError `denied` for a link */
export async function walkToPending({ shown }: StoreContext, root: Directory): Promise<Directory> {
  try {
    return await root.walk([PENDING_DIRECTORY]);
  } catch (error) {
    if (!isFileSystemError(error, 'link')) throw error;
    throw new StoreError('denied', {
      message: `${root.path}/${PENDING_DIRECTORY} in ${shown} is a symbolic link, which Gantry did not create`,
      hint: `Find out who created it, and remove it: rm ${root.path}/${PENDING_DIRECTORY}`,
      cause: error,
    });
  }
}

async function makePendingDirectory(context: StoreContext, root: Directory): Promise<Directory> {
  const there = await orMissing(walkToPending(context, root));
  if (there !== undefined) return there;
  if (await root.make(PENDING_DIRECTORY)) await syncOrRemove(root);
  return walkToPending(context, root);
}

async function syncOrRemove(root: Directory): Promise<void> {
  try {
    await root.sync();
  } catch (error) {
    await removePendingDirectory(root);
    throw error;
  }
}

/**
 * Refuses to write where another user could replace the data just before it is committed. The writer's uid is that of the directory it
 * has just made, because uids differ between machines.
 */
async function assertOwn(context: StoreContext, root: FileInfo | undefined, pending: Directory, made: string): Promise<void> {
  const { found, path } = pending;
  const writer = (await pending.find([made]))?.user;
  if (root !== undefined) warnOfOthers(context, root, writer);
  const trusted = [writer, root?.user, 0];
  const foreign = found.user !== undefined && writer !== undefined && !trusted.includes(found.user);
  if (!foreign && ((found.mode ?? 0) & WRITABLE_BY_OTHERS) === 0) return;
  throw new StoreError('denied', {
    message: `${path} ${foreign ? `belongs to another user (uid ${found.user})` : 'is writable by other users'}, who could replace data that is being written`,
    hint: `Find out who created it, and remove it while nothing is being written: rm -r ${path}`,
  });
}

/**
 * Makes the names above an unfinished write's directory durable; the writer syncs its own directory.
 */
export async function syncWriteDirectories({ fileSystem }: StoreContext): Promise<void> {
  await using root = await fileSystem.root();
  await using pending = await orMissing(root.walk([PENDING_DIRECTORY]));
  await Promise.all([pending?.sync(), root.sync()]);
}

/** Removes an unfinished write. Idempotent. @param own names of the files that its writer made, which saves a listing */
export async function removeWriteDirectory(context: StoreContext, token: string, own: readonly string[] = []): Promise<void> {
  await using root = await context.fileSystem.root();
  await using pending = await orMissing(walkToPending(context, root));
  if (pending === undefined) return;
  // A removal that is interrupted may have removed the record; the new name still shows that the write has ended.
  const renamed = isWriteToken(token) && (await rename(pending, token, removalName(token)));
  const name = renamed ? removalName(token) : token;
  if (!renamed || own.length === 0 || !(await removeKnown(pending, name, [...own, RECORD_FILE]))) await removeTree(pending, name);
  await removePendingDirectory(root);
}

/** @returns whether it was renamed, or is gone. With an exhausted quota, files can be removed but not renamed. */
async function rename(pending: Directory, name: string, newName: string): Promise<boolean> {
  try {
    await orMissing(pending.replace(name, pending, newName));
    return true;
  } catch (error) {
    if (isFileSystemError(error)) return false;
    throw error;
  }
}

/** Removes the common directory if there is no unfinished write, so that nothing of it shows in the store. */
export async function removePendingDirectory(root: Directory): Promise<void> {
  await root.removeDirectory(PENDING_DIRECTORY).catch((error: unknown) => {
    if (!isFileSystemError(error)) throw error;
  });
}

/** Removes a directory with the given files. @returns false if it has others too */
async function removeKnown(pending: Directory, name: string, files: readonly string[]): Promise<boolean> {
  try {
    await using directory = await pending.walk([name]);
    await Promise.all(files.map((file) => orMissing(directory.remove(file))));
    await pending.removeDirectory(name);
    return true;
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'not-empty', 'other-kind', 'link')) return false;
    throw error;
  }
}

/** Removes a directory and its files. Idempotent. @throws StoreError `denied` if there is a directory in it */
async function removeTree(pending: Directory, name: string): Promise<void> {
  await using directory = await openIfDirectory(pending, name);
  if (directory === undefined) return;
  const names: string[] = [];
  for await (const entry of boundedEntries(directory)) {
    if (entry.kind === 'directory') throw foreignDirectory(directory, entry.name);
    if (entry.name !== RECORD_FILE) names.push(entry.name);
  }
  await Promise.all(names.map((each) => orMissing(directory.remove(each))));
  // The record is last, so that the owner is known until then.
  await orMissing(directory.remove(RECORD_FILE));
  await orMissing(pending.removeDirectory(name));
}

/** Undefined if there is no directory of that name. */
async function openIfDirectory(pending: Directory, name: string): Promise<Directory | undefined> {
  try {
    return await pending.walk([name]);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'other-kind', 'link')) return undefined;
    throw error;
  }
}

function foreignDirectory({ path }: Directory, name: string): StoreError {
  return new StoreError('denied', {
    message: `cannot remove ${path}: it contains the directory ${JSON.stringify(name)}, which Gantry did not create`,
    hint: `Check its contents, and remove it by hand: rm -r ${path}`,
  });
}

/** Some virtual file systems, such as proc, fail every mkdir(2) like this; so does a directory that was removed while in use. */
function cannotMakeDirectory({ shown }: StoreContext, cause: unknown): StoreError {
  return new StoreError('denied', {
    message: `cannot create a directory in ${shown}: the file system reports that ${shown} does not exist, or does not support it`,
    hint: 'Choose a directory on an ordinary file system.',
    cause,
  });
}
