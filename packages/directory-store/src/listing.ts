import type { ObjectInfo } from '@gantry/transport';
import { MAX_KEY_LENGTH, isKeyPart, openOrAbort, orAbort } from '@gantry/transport';
import type { Directory, Entry, FileInfo } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { boundedEntries } from './limits.ts';

/** How many files are checked in parallel. */
const MAX_PARALLEL_CHECKS = 64;

/**
 * Every object below a directory in the order of the keys' bytes, one directory at a time. Links, hidden names and anything else that
 * is not an object are skipped.
 *
 * @param prefix the start of its keys: empty, or ending in `/`
 */
export async function* listObjects(
  directory: Directory,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo, void, undefined> {
  const entries = await orAbort(sortedEntries(directory), signal);
  for (let at = 0; at < entries.length; at += MAX_PARALLEL_CHECKS) {
    const some = await orAbort(lookAtEach(directory, entries.slice(at, at + MAX_PARALLEL_CHECKS)), signal);
    for (const { name, kind, found } of some) {
      signal?.throwIfAborted();
      const key = `${prefix}${name}`;
      if (key.length > MAX_KEY_LENGTH) continue;
      if (kind === 'directory') yield* listBeneath(directory, name, `${key}/`, signal);
      else if (found?.kind === 'file') yield objectInfo(key, found);
    }
  }
}

/** Adds size and time to files whose entries lack them. */
async function lookAtEach(directory: Directory, entries: readonly Entry[]): Promise<readonly Entry[]> {
  return Promise.all(
    entries.map(async (entry) =>
      entry.kind === 'directory' || entry.found !== undefined ? entry : { ...entry, found: await directory.find([entry.name]) },
    ),
  );
}

/** A file as an object. */
export function objectInfo(key: string, { size, modified }: FileInfo): ObjectInfo {
  return { key, size, modified };
}

/** Lists nothing if the directory has been removed or replaced. */
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

/** Sorted like keys: a directory counts with a slash after its name. */
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
