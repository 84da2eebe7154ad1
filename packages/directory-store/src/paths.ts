import { closeOnFailure } from '@gantry/transport';
import type { Directory } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';

/** How often another process may remove a directory between its creation and its use before that is an error. */
export const MAX_TRIES = 100;

/** The open directories of a key from the root down; disposing closes all but the root. */
export class KeyPath implements AsyncDisposable {
  readonly #directories: Directory[];
  readonly #root: Directory;
  /** The key's last part. */
  readonly name: string;

  private constructor(root: Directory, directories: Directory[], name: string) {
    this.#root = root;
    this.#directories = directories;
    this.name = name;
  }

  /** Makes missing directories. @throws FileSystemError `link`, `other-kind`; `missing` if another process removes one at the same time */
  static async make(root: Directory, key: string): Promise<KeyPath> {
    const { parents, name } = splitKey(key);
    const path = new KeyPath(root, [...(await root.walkEach(parents))], name);
    const close = (): Promise<void> => path[Symbol.asyncDispose]();
    return closeOnFailure(close, async () => {
      for (const part of parents.slice(path.#directories.length)) {
        await path.leaf.make(part);
        path.#directories.push(await path.leaf.walk([part]));
      }
      return path;
    });
  }

  /** The directory that holds the object. */
  get leaf(): Directory {
    return this.#directories.at(-1) ?? this.#root;
  }

  /** Syncs all of them: any may be new, made by another writer that has not synced its name yet. @returns as `Directory.sync` */
  async sync(): Promise<boolean> {
    const synced = await Promise.all([...this.#directories.toReversed(), this.#root].map((directory) => directory.sync()));
    return !synced.includes(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const directory of this.#directories) await directory[Symbol.asyncDispose]();
  }
}

/** Splits a key into the names of its directories and its own name. */
export function splitKey(key: string): { readonly parents: readonly string[]; readonly name: string } {
  const parts = key.split('/');
  return { parents: parts.slice(0, -1), name: parts.at(-1) ?? '' };
}

/** Removes the empty directories above a key, up to the root. A directory that is not empty stays. */
export async function removeEmptyParents(root: Directory, key: string): Promise<void> {
  for (let { parents } = splitKey(key); parents.length > 0; parents = parents.slice(0, -1)) {
    try {
      await using above = await root.walk(parents.slice(0, -1));
      await above.removeDirectory(parents.at(-1) ?? '');
    } catch (error) {
      if (!isFileSystemError(error, 'missing')) return;
    }
  }
}

/** The result of a call; undefined if it fails because something is missing. */
export async function orMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isFileSystemError(error, 'missing')) return undefined;
    throw error;
  }
}
