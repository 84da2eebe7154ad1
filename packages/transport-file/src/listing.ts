import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectInfo } from '@gantry/transport';
import { isKeyPart } from '@gantry/transport';
import { systemErrorCode } from './system-error.ts';

/**
 * Every object beneath a directory in the order of the keys' bytes, one directory at a time. Links, hidden names and whatever else
 * is no object are passed over.
 */
export async function* listObjects(root: string, prefix: string, signal: AbortSignal | undefined): AsyncGenerator<ObjectInfo> {
  signal?.throwIfAborted();
  for (const entry of await sortedEntries(join(root, prefix))) {
    signal?.throwIfAborted();
    const key = `${prefix}${entry.name}`;
    if (entry.isDirectory()) {
      yield* listObjects(root, `${key}/`, signal);
    } else {
      const info = await describeObject(root, key);
      if (info !== undefined) yield info;
    }
  }
}

/** Undefined for what is gone meanwhile. */
async function describeObject(root: string, key: string): Promise<ObjectInfo | undefined> {
  try {
    const { size, mtime } = await lstat(join(root, key));
    return { key, size, modified: mtime };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** As keys sort: a directory counts with the slash behind its name. */
async function sortedEntries(directory: string): Promise<readonly Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    const shown = entries.filter((entry) => isKeyPart(entry.name) && (entry.isFile() || entry.isDirectory()));
    return shown.toSorted((a, b) => (sortName(a) < sortName(b) ? -1 : 1));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

function sortName(entry: Dirent): string {
  return entry.isDirectory() ? `${entry.name}/` : entry.name;
}
