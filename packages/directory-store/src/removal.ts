import type { StoreContext } from './context.ts';
import type { Directory } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { orMissing, removeEmptyParents, splitKey } from './paths.ts';

/** Removes objects, durably. Missing ones count as removed. */
export async function removeObjects({ fileSystem }: StoreContext, keys: readonly string[]): Promise<void> {
  await using root = await orMissing(fileSystem.root());
  if (root === undefined) return;
  const beneath = Map.groupBy(keys, (key) => splitKey(key).parents.join('/'));
  const results = await Promise.allSettled(beneath.values().map((siblings) => removeSiblings(root, siblings)));
  for (const [first = ''] of beneath.values()) await removeEmptyParents(root, first);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Removes objects of one directory. */
async function removeSiblings(root: Directory, keys: readonly string[]): Promise<void> {
  const [first = ''] = keys;
  const directory = await openIfThere(root, splitKey(first).parents);
  if (directory === undefined) return;
  await using open = directory;
  const results = await Promise.allSettled(keys.map((key) => removeOne(open, splitKey(key).name)));
  // Even if nothing was there: an earlier call may have removed it, but failed to make that durable.
  await open.sync();
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function removeOne(directory: Directory, name: string): Promise<void> {
  try {
    await directory.remove(name);
  } catch (error) {
    // A directory is not an object.
    if (!isFileSystemError(error, 'missing', 'other-kind')) throw error;
  }
}

async function openIfThere(root: Directory, parents: readonly string[]): Promise<Directory | undefined> {
  try {
    return await root.walk(parents);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'link', 'other-kind')) return undefined;
    throw error;
  }
}
