import type { Directory } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';

/** How often a directory may be removed by somebody else, between being made and being used, before that is an error. */
export const MAX_TRIES = 100;

/** The directories of a key from the root down, open; disposing closes all but the root. */
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

  /** Makes what is missing. @throws FileSystemError `link`, `other-kind`; `missing` where somebody removes it meanwhile */
  static async make(root: Directory, key: string): Promise<KeyPath> {
    const { parents, name } = splitKey(key);
    const path = new KeyPath(root, [...(await root.walkEach(parents))], name);
    try {
      for (const part of parents.slice(path.#directories.length)) {
        await path.leaf.make(part);
        path.#directories.push(await path.leaf.walk([part]));
      }
      return path;
    } catch (error) {
      await path[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The directory that holds the object. */
  get leaf(): Directory {
    return this.#directories.at(-1) ?? this.#root;
  }

  /** Any of them may be new, and another writer may have made it and not yet have made its name durable. @returns as `Directory.sync` */
  async sync(): Promise<boolean> {
    const synced = await Promise.all([...this.#directories.toReversed(), this.#root].map((directory) => directory.sync()));
    return !synced.includes(false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const directory of this.#directories) await directory[Symbol.asyncDispose]();
  }
}

/** The parts of a key: those of its directories, and its own name. */
export function splitKey(key: string): { readonly parents: readonly string[]; readonly name: string } {
  const parts = key.split('/');
  return { parents: parts.slice(0, -1), name: parts.at(-1) ?? '' };
}

/** Removes the directories above a key that hold nothing any more, up to the root. One that somebody fills meanwhile stays. */
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

/** What a call gives; undefined where nothing is there. */
export async function orMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isFileSystemError(error, 'missing')) return undefined;
    throw error;
  }
}
