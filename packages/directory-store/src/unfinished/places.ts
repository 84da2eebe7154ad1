import { StoreError, thisProcess } from '@gantry/transport';
import type { StoreContext } from '../context.ts';
import type { Directory, Found } from '../file-system.ts';
import { isFileSystemError } from '../file-system.ts';
import { boundedEntries } from '../limits.ts';
import { MAX_TRIES, orMissing } from '../paths.ts';
import { warnOfOthers } from '../root.ts';
import type { IfExists, WriteRecord } from './record.ts';
import { RECORD_FILE, createRecord, ownRecord } from './record.ts';
import { beginningName, isWriteToken, newToken, removalName } from './token.ts';

/** Where unfinished writes are, in the store's own file system, so that committing is a link or a rename. */
const PENDING_DIRECTORY = '.gantry-pending';

const WRITABLE_BY_OTHERS = 0o022;

/** An unfinished write whose record is durable, and whose directory is open. */
export interface Place {
  readonly token: string;
  readonly record: WriteRecord;
  readonly directory: Directory;
}

/**
 * Makes the place of a new write, its record durable. It gets its name when the record is in it: so nobody, killed at any moment,
 * leaves a place of which nobody knows whose it is.
 *
 * @param root the store's directory, as it was found
 */
export async function makePlace(context: StoreContext, root: Found | undefined, key: string, ifExists: IfExists): Promise<Place> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryToMakePlace(context, root, key, ifExists);
    } catch (error) {
      // Whoever ends the last unfinished write removes the directory of all, and may do so just before there is a new one.
      if (!isFileSystemError(error, 'missing')) throw error;
      if (tries === MAX_TRIES) throw takesNone(context, error);
    }
  }
}

async function tryToMakePlace(context: StoreContext, rootFound: Found | undefined, key: string, ifExists: IfExists): Promise<Place> {
  const { fileSystem } = context;
  const { inOrder } = await fileSystem.capabilities();
  await using root = await fileSystem.root();
  await using pending = await makePendingDirectory(context, root);
  const token = newToken();
  const beginning = beginningName(token, await thisProcess());
  const { document, ...record } = await ownRecord({ key, ifExists, started: new Date().toISOString() }, { withMark: !inOrder });
  try {
    await pending.make(beginning);
    await using place = await pending.walk([beginning]);
    await Promise.all([assertOwn(context, rootFound, pending, beginning), createRecord(place, document)]);
    await pending.replace(beginning, pending, token);
    return { token, record, directory: await pending.walk([token]) };
  } catch (error) {
    for (const left of [beginning, token]) await removeTree(pending, left).catch(() => undefined);
    await root.removeDirectory(PENDING_DIRECTORY).catch(() => undefined);
    throw error;
  }
}

/** Opens the place of a write that was begun. @throws FileSystemError `missing`; StoreError `denied` */
export async function openPlace(context: StoreContext, token: string): Promise<Directory> {
  await using root = await context.fileSystem.root();
  await using pending = await walkToPending(context, root);
  return await pending.walk([token]);
}

/** The directory of all unfinished writes. @throws FileSystemError `missing`, `other-kind`; StoreError `denied` for a link */
export async function walkToPending({ shown }: StoreContext, root: Directory): Promise<Directory> {
  try {
    return await root.walk([PENDING_DIRECTORY]);
  } catch (error) {
    if (!isFileSystemError(error, 'link')) throw error;
    throw new StoreError('denied', {
      message: `${root.path}/${PENDING_DIRECTORY} in ${shown} is a symbolic link, which Gantry did not make`,
      hint: `Find out who made it, and remove it: rm ${root.path}/${PENDING_DIRECTORY}`,
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
 * Refuses to write where another user could exchange the data just before it is committed. Who writes is told by what was just made:
 * numbers of users differ from machine to machine.
 */
async function assertOwn(context: StoreContext, root: Found | undefined, pending: Directory, made: string): Promise<void> {
  const { found, path } = pending;
  const writer = (await pending.find([made]))?.user;
  if (root !== undefined) warnOfOthers(context, root, writer);
  const trusted = [writer, root?.user, 0];
  const foreign = found.user !== undefined && writer !== undefined && !trusted.includes(found.user);
  if (!foreign && ((found.mode ?? 0) & WRITABLE_BY_OTHERS) === 0) return;
  throw new StoreError('denied', {
    message: `${path} ${foreign ? `belongs to another user (number ${found.user})` : 'can be written to by others'}, who could exchange what is being written`,
    hint: `Find out who made it; when nothing is being written, remove it: rm -r ${path}`,
  });
}

/**
 * Makes the names durable with which an unfinished write is found again; its own directory is the writer's to sync.
 */
export async function syncPlaces({ fileSystem }: StoreContext): Promise<void> {
  await using root = await fileSystem.root();
  await using pending = await orMissing(root.walk([PENDING_DIRECTORY]));
  await Promise.all([pending?.sync(), root.sync()]);
}

/** Ends an unfinished write for good. Idempotent. @param own names of the files that its writer made: knowing them saves a listing */
export async function removePlace(context: StoreContext, token: string, own: readonly string[] = []): Promise<void> {
  await using root = await context.fileSystem.root();
  await using pending = await orMissing(walkToPending(context, root));
  if (pending === undefined) return;
  // A removal that is cut short may have taken the record; the name still says that nobody is at work there.
  const renamed = isWriteToken(token) && (await rename(pending, token, removalName(token)));
  const name = renamed ? removalName(token) : token;
  if (!renamed || own.length === 0 || !(await removeKnown(pending, name, [...own, RECORD_FILE]))) await removeTree(pending, name);
  await removePendingDirectory(root);
}

/** Whether it was renamed, or is gone. Where a quota is used up, things can be removed that cannot be renamed. */
async function rename(pending: Directory, name: string, newName: string): Promise<boolean> {
  try {
    await orMissing(pending.replace(name, pending, newName));
    return true;
  } catch (error) {
    if (isFileSystemError(error)) return false;
    throw error;
  }
}

/** Nothing is unfinished? Then the store looks as if it had never been written to. */
export async function removePendingDirectory(root: Directory): Promise<void> {
  await root.removeDirectory(PENDING_DIRECTORY).catch((error: unknown) => {
    if (!isFileSystemError(error)) throw error;
  });
}

/** Removes a directory that has some files; false where it has others too. */
async function removeKnown(pending: Directory, name: string, files: readonly string[]): Promise<boolean> {
  try {
    await using place = await pending.walk([name]);
    await Promise.all(files.map((file) => orMissing(place.remove(file))));
    await pending.removeDirectory(name);
    return true;
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'not-empty', 'other-kind', 'link')) return false;
    throw error;
  }
}

/** Removes a directory with the files in it. Idempotent. @throws StoreError `denied` where there is a directory in it */
async function removeTree(pending: Directory, name: string): Promise<void> {
  await using place = await openPlaceIn(pending, name);
  if (place === undefined) return;
  const names: string[] = [];
  for await (const entry of boundedEntries(place)) {
    if (entry.kind === 'directory') throw foreignDirectory(place, entry.name);
    if (entry.name !== RECORD_FILE) names.push(entry.name);
  }
  await Promise.all(names.map((each) => orMissing(place.remove(each))));
  // Last, so that until then it is known whose it is.
  await orMissing(place.remove(RECORD_FILE));
  await orMissing(pending.removeDirectory(name));
}

/** Undefined where nothing is there; what is no directory was not made here. */
async function openPlaceIn(pending: Directory, name: string): Promise<Directory | undefined> {
  try {
    return await pending.walk([name]);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'other-kind', 'link')) return undefined;
    throw error;
  }
}

function foreignDirectory({ path }: Directory, name: string): StoreError {
  return new StoreError('denied', {
    message: `there is a directory in ${path}, which Gantry did not make: ${JSON.stringify(name)}`,
    hint: `Look at what it holds, and remove it by hand: rm -r ${path}`,
  });
}

/** Some virtual file systems, such as proc, answer so to every mkdir(2); so does a directory that was removed while in use. */
function takesNone({ shown }: StoreContext, cause: unknown): StoreError {
  return new StoreError('denied', {
    message: `cannot make a directory in ${shown}: the file system says that ${shown} is not there, or takes no directories`,
    hint: 'Choose a directory on an ordinary file system.',
    cause,
  });
}
