import type { StoreContext } from './context.ts';
import type { Directory } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { KeyPath, MAX_TRIES, removeEmptyParents } from './paths.ts';
import { alreadyExists, wrongKind, linkInPath, writeEnded } from './refusals.ts';
import type { IfExists } from './unfinished/record.ts';

/** A finished file that is to become visible. */
export interface Completed {
  readonly key: string;
  readonly ifExists: IfExists;
  /** The directory of the unfinished write, and the name of the finished file in it. */
  readonly directory: Directory;
  readonly data: string;
}

/**
 * Gives a finished file its name, durably. A link fails if the name exists, a replacement replaces the old file; both are atomic.
 * A failure leaves nothing under the name.
 *
 * @returns whether the name is durable: false if directories cannot be synced
 */
export async function commitFile(context: StoreContext, completed: Completed): Promise<boolean> {
  await using root = await context.fileSystem.root();
  for (let tries = 1; ; tries += 1) {
    try {
      await using path = await KeyPath.make(root, completed.key);
      await linkOrReplace(completed, path);
      return await syncNames(path);
    } catch (error) {
      // Removing the last object of a directory removes the directory too, possibly just before it gets a new object.
      if (isFileSystemError(error, 'missing') && tries < MAX_TRIES && (await dataExists(completed))) continue;
      await removeEmptyParents(root, completed.key);
      throw await explainFailure(context, root, completed, error);
    }
  }
}

async function linkOrReplace({ directory, data, ifExists }: Completed, { leaf, name }: KeyPath): Promise<void> {
  if (ifExists === 'fail') await directory.link(data, leaf, name);
  else await directory.replace(data, leaf, name);
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

async function dataExists({ directory, data }: Completed): Promise<boolean> {
  return (await directory.find([data])) !== undefined;
}

async function explainFailure({ shown }: StoreContext, root: Directory, completed: Completed, error: unknown): Promise<unknown> {
  const { key } = completed;
  if (isFileSystemError(error, 'link')) return linkInPath(shown, key, error);
  if (isFileSystemError(error, 'other-kind')) return wrongKind(shown, key, error);
  if (isFileSystemError(error, 'exists')) {
    const found = await root.find(key.split('/')).catch(() => undefined);
    return found?.kind === 'directory' ? wrongKind(shown, key, error) : alreadyExists(key, error);
  }
  if (isFileSystemError(error, 'missing') && !(await dataExists(completed))) return writeEnded(key, error);
  return error;
}
