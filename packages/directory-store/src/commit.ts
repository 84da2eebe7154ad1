import type { StoreContext } from './context.ts';
import type { Directory } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { KeyPath, MAX_TRIES, removeEmptyParents } from './paths.ts';
import { alreadyThere, inTheWay, linkOnTheWay, writeEnded } from './refusals.ts';
import type { IfExists } from './unfinished/record.ts';

/** What is to become visible. */
export interface Completed {
  readonly key: string;
  readonly ifExists: IfExists;
  /** The directory of the unfinished write, and the finished file in it. */
  readonly place: Directory;
  readonly data: string;
}

/**
 * Gives a finished file its name, durably. A link fails where the name is taken, a replacement takes the old one's place; both happen
 * at once for everybody who looks. What fails leaves nothing under the name.
 *
 * @returns whether the name is durable: false where directories cannot be synced
 */
export async function giveName(context: StoreContext, completed: Completed): Promise<boolean> {
  await using root = await context.fileSystem.root();
  for (let tries = 1; ; tries += 1) {
    try {
      await using path = await KeyPath.make(root, completed.key);
      await linkOrReplace(completed, path);
      return await syncNames(path);
    } catch (error) {
      // Who removes the last object of a directory removes that too, and may do so just before it gets a new one.
      if (isFileSystemError(error, 'missing') && tries < MAX_TRIES && (await isStillThere(completed))) continue;
      await removeEmptyParents(root, completed.key);
      throw await meaning(context, root, completed, error);
    }
  }
}

async function linkOrReplace({ place, data, ifExists }: Completed, { leaf, name }: KeyPath): Promise<void> {
  if (ifExists === 'fail') await place.link(data, leaf, name);
  else await place.replace(data, leaf, name);
}

async function syncNames(path: KeyPath): Promise<boolean> {
  try {
    return await path.sync();
  } catch (error) {
    await path.leaf.remove(path.name).catch(() => undefined);
    await path.leaf.sync().catch(() => undefined);
    throw error;
  }
}

async function isStillThere({ place, data }: Completed): Promise<boolean> {
  return (await place.find([data])) !== undefined;
}

async function meaning({ shown }: StoreContext, root: Directory, completed: Completed, error: unknown): Promise<unknown> {
  const { key } = completed;
  if (isFileSystemError(error, 'link')) return linkOnTheWay(shown, key, error);
  if (isFileSystemError(error, 'other-kind')) return inTheWay(shown, key, error);
  if (isFileSystemError(error, 'exists')) {
    const found = await root.find(key.split('/')).catch(() => undefined);
    return found?.kind === 'directory' ? inTheWay(shown, key, error) : alreadyThere(key, error);
  }
  if (isFileSystemError(error, 'missing') && !(await isStillThere(completed))) return writeEnded(key, error);
  return error;
}
