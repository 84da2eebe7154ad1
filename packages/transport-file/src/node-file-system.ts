import { access, constants, mkdir, rmdir, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { StoreSpace } from '@gantry/transport';
import type { Directory, FileSystem, FileSystemCapabilities, RootInfo } from '@gantry/directory-store';
import { FileSystemError, isFileSystemError } from '@gantry/directory-store';
import { fileInfoOf } from './file-info.ts';
import { openDirectory } from './node-directory.ts';
import { calling } from './system-error.ts';

const MiB = 1024 * 1024;

/** A local directory. */
export class NodeFileSystem implements FileSystem {
  readonly #path: string;

  /** @param path absolute */
  constructor(path: string) {
    this.#path = path;
  }

  async capabilities(): Promise<FileSystemCapabilities> {
    return { replace: true, inOrder: true, syncFile: true, syncEveryBytes: 32 * MiB, maxUnsyncedBytes: 64 * MiB };
  }

  root(): Promise<Directory> {
    return openDirectory(this.#path);
  }

  async statRoot(): Promise<RootInfo | undefined> {
    try {
      const stats = await calling(stat(this.#path));
      return { ...fileInfoOf(stats), identity: `${stats.dev}:${stats.ino}` };
    } catch (error) {
      // A file in its path means that it does not exist either.
      if (isFileSystemError(error, 'missing', 'other-kind')) return undefined;
      throw error;
    }
  }

  async makeRoot(): Promise<void> {
    try {
      await using above = await openDirectory(dirname(this.#path));
      await calling(mkdir(this.#path, { mode: 0o700 }));
      await this.#syncOrRemove(above);
    } catch (error) {
      if (isFileSystemError(error, 'exists')) return;
      if (isFileSystemError(error, 'missing', 'other-kind')) throw this.#parentMissing(error);
      throw error;
    }
  }

  async space(): Promise<StoreSpace> {
    const space = (await spaceOf(this.#path)) ?? (await spaceOf(dirname(this.#path)));
    if (space === undefined) throw this.#parentMissing(undefined);
    return space;
  }

  async explain(error: unknown): Promise<unknown> {
    return error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing stays open between calls.
  }

  /** If its name is not durable, the root must not exist: the next time, it would be taken as durable. */
  async #syncOrRemove(above: Directory): Promise<void> {
    try {
      await above.sync();
    } catch (error) {
      await rmdir(this.#path).catch(() => undefined);
      throw error;
    }
  }

  #parentMissing(cause: unknown): FileSystemError {
    return new FileSystemError('missing', {
      code: 'not-found',
      message: `its parent directory ${dirname(this.#path)} does not exist`,
      hint: `Check the path, or create the parent directory first: mkdir -p ${dirname(this.#path)}`,
      cause,
    });
  }
}

/** Undefined if there is no such directory. */
async function spaceOf(path: string): Promise<StoreSpace | undefined> {
  try {
    const { bavail, bsize } = await calling(statfs(path));
    const isWritable = access(path, constants.W_OK).then(
      () => true,
      () => false,
    );
    return { freeBytes: bavail * bsize, readOnly: !(await isWritable) };
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'other-kind')) return undefined;
    throw error;
  }
}
