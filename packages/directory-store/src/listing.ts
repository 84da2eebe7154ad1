import type { ObjectInfo } from '@gantry/transport';
import { MAX_KEY_LENGTH, isKeyPart, openOrAbort, orAbort } from '@gantry/transport';
import type { Directory, Entry, Found } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { boundedEntries } from './limits.ts';

/** How many files are looked at at once. */
const LOOK_AT_ONCE = 64;

/**
 * Every object beneath a directory in the order of the keys' bytes, one directory at a time. Links, hidden names and whatever else
 * is no object are passed over.
 *
 * @param prefix of its keys: empty, or ending in `/`
 */
export async function* listObjects(
  directory: Directory,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const entries = await orAbort(sortedEntries(directory), signal);
  for (let at = 0; at < entries.length; at += LOOK_AT_ONCE) {
    const some = await orAbort(lookAtEach(directory, entries.slice(at, at + LOOK_AT_ONCE)), signal);
    for (const { name, kind, found } of some) {
      signal?.throwIfAborted();
      const key = `${prefix}${name}`;
      if (key.length > MAX_KEY_LENGTH) continue;
      if (kind === 'directory') yield* listBeneath(directory, name, `${key}/`, signal);
      else if (found?.kind === 'file') yield objectInfo(key, found);
    }
  }
}

/** Files with their size and time, where the names alone did not come with them. */
async function lookAtEach(directory: Directory, entries: readonly Entry[]): Promise<readonly Entry[]> {
  return Promise.all(
    entries.map(async (entry) =>
      entry.kind === 'directory' || entry.found !== undefined ? entry : { ...entry, found: await directory.find([entry.name]) },
    ),
  );
}

/** A file as an object. */
export function objectInfo(key: string, { size, modified }: Found): ObjectInfo {
  return { key, size, modified };
}

/** Nothing where it is gone meanwhile, or has become something else. */
async function* listBeneath(
  parent: Directory,
  name: string,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo, void, undefined> {
  let directory: Directory;
  try {
    directory = await openOrAbort(parent.walk([name]), signal);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'link', 'other-kind')) return;
    throw error;
  }
  await using open = directory;
  yield* listObjects(open, prefix, signal);
}

/** As keys sort: a directory counts with the slash behind its name. */
async function sortedEntries(directory: Directory): Promise<readonly Entry[]> {
  const shown: Entry[] = [];
  for await (const entry of boundedEntries(directory)) {
    if (isKeyPart(entry.name) && (entry.kind === 'file' || entry.kind === 'directory')) shown.push(entry);
  }
  return shown.toSorted((a, b) => (sortName(a) < sortName(b) ? -1 : 1));
}

function sortName({ name, kind }: Entry): string {
  return kind === 'directory' ? `${name}/` : name;
}
