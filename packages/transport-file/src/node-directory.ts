import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { link, lstat, mkdir, open, opendir, rename, rmdir, unlink } from 'node:fs/promises';
import type { Directory, Entry, FileInfo, ReadableFile, WritableFile } from '@gantry/directory-store';
import { FileSystemError, isFileSystemError } from '@gantry/directory-store';
import { foundOf, kindOf } from './file-info.ts';
import { NodeReadableFile, NodeWritableFile } from './node-files.ts';
import { asLinkError, calling, systemErrorCode } from './system-error.ts';

/** `O_PATH` of open(2), which Node does not name: the directory itself, to be walked on from, and neither read nor written. */
const O_PATH = 0o10000000;

const WALK = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** How many names are read at once. */
const NAMES_AT_ONCE = 1024;

/** Opens a directory by its path, links followed. */
export async function openDirectory(path: string): Promise<NodeDirectory> {
  const handle = await calling(open(path, O_PATH | constants.O_DIRECTORY));
  return NodeDirectory.of(handle, path);
}

/**
 * An open directory. What is done in it goes through `/proc/self/fd/N/NAME` (proc_pid_fd(5)), as with openat(2): so it is done in this
 * very directory, wherever it was moved to and whatever stands under its path now.
 */
export class NodeDirectory implements Directory {
  readonly path: string;
  readonly found: FileInfo;
  readonly #handle: FileHandle;
  #open = true;

  private constructor(handle: FileHandle, path: string, found: FileInfo) {
    this.#handle = handle;
    this.path = path;
    this.found = found;
  }

  static async of(handle: FileHandle, path: string): Promise<NodeDirectory> {
    try {
      return new NodeDirectory(handle, path, foundOf(await calling(handle.stat())));
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async walk(parts: readonly string[]): Promise<NodeDirectory> {
    const [first, ...more] = parts;
    if (first === undefined) return NodeDirectory.of(await calling(open(this.#itself(), O_PATH | constants.O_DIRECTORY)), this.path);
    let handle = await openBeneath(this.#handle, first);
    let path = `${this.path}/${first}`;
    for (const part of more) {
      const above = handle;
      path = `${path}/${part}`;
      try {
        handle = await openBeneath(above, part);
      } finally {
        await above.close();
      }
    }
    return NodeDirectory.of(handle, path);
  }

  async walkEach(parts: readonly string[]): Promise<readonly NodeDirectory[]> {
    const directories: NodeDirectory[] = [];
    try {
      for (const part of parts) directories.push(await (directories.at(-1) ?? this).walk([part]));
    } catch (error) {
      if (isFileSystemError(error, 'missing')) return directories;
      for (const directory of directories) await directory[Symbol.asyncDispose]();
      throw error;
    }
    return directories;
  }

  async find(parts: readonly string[]): Promise<FileInfo | undefined> {
    try {
      return await this.#beneath(parts, async (name) => foundOf(await calling(lstat(name))));
    } catch (error) {
      if (isFileSystemError(error, 'missing')) return undefined;
      throw error;
    }
  }

  async *entries(): AsyncGenerator<readonly Entry[], void, undefined> {
    await using directory = await calling(opendir(this.#itself(), { bufferSize: NAMES_AT_ONCE }));
    for (;;) {
      const batch: Entry[] = [];
      while (batch.length < NAMES_AT_ONCE) {
        const entry = await calling(directory.read());
        if (entry === null) break;
        batch.push({ name: entry.name, kind: kindOf(entry) });
      }
      if (batch.length === 0) return;
      yield batch;
    }
  }

  async make(name: string): Promise<boolean> {
    try {
      await calling(mkdir(this.#at(name), { mode: DIRECTORY_MODE }));
      return true;
    } catch (error) {
      if (isFileSystemError(error, 'exists')) return false;
      throw error;
    }
  }

  async read(parts: readonly string[]): Promise<ReadableFile> {
    return this.#beneath(parts, async (name) => NodeReadableFile.of(await calling(open(name, READ))));
  }

  async readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined> {
    let file: ReadableFile;
    try {
      file = await this.read(parts);
    } catch (error) {
      if (isFileSystemError(error, 'missing')) return undefined;
      throw error;
    }
    await using open = file;
    return Buffer.concat(await Array.fromAsync(open.read(0, maxBytes), (chunk) => Buffer.from(chunk)));
  }

  async create(name: string): Promise<WritableFile> {
    return new NodeWritableFile(await calling(open(this.#at(name), CREATE, FILE_MODE)));
  }

  async createSmall(name: string, content: Uint8Array): Promise<void> {
    await using file = await this.create(name);
    await file.write(content);
    await file.finish();
  }

  async link(name: string, to: Directory, toName: string): Promise<void> {
    await calling(link(this.#at(name), own(to).#at(toName)), asLinkError);
  }

  async replace(name: string, to: Directory, toName: string): Promise<void> {
    await calling(rename(this.#at(name), own(to).#at(toName)));
  }

  async remove(name: string): Promise<void> {
    await calling(unlink(this.#at(name)));
  }

  async removeDirectory(name: string): Promise<void> {
    await calling(rmdir(this.#at(name)));
  }

  async sync(): Promise<boolean> {
    await using directory = await calling(open(this.#itself(), constants.O_RDONLY | constants.O_DIRECTORY));
    try {
      await directory.sync();
      return true;
    } catch (error) {
      // fsync(2): what stands there supports no synchronization, as some network and user-space file systems.
      if (systemErrorCode(error) === 'EINVAL') return false;
      return await calling(Promise.reject(error));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#handle.close();
  }

  #itself(): string {
    return `/proc/self/fd/${this.#handle.fd}`;
  }

  #at(name: string): string {
    return `${this.#itself()}/${name}`;
  }

  /** Does something with the file at the end of a walk. */
  async #beneath<T>(parts: readonly string[], work: (path: string) => Promise<T>): Promise<T> {
    const name = parts.at(-1) ?? '.';
    if (parts.length <= 1) return work(this.#at(name));
    await using directory = await this.walk(parts.slice(0, -1));
    return await work(directory.#at(name));
  }
}

async function openBeneath(above: FileHandle, part: string): Promise<FileHandle> {
  const path = `/proc/self/fd/${above.fd}/${part}`;
  try {
    return await calling(open(path, WALK));
  } catch (error) {
    // With these flags a link is "not a directory", as a file is.
    if (!isFileSystemError(error, 'other-kind') || !(await calling(lstat(path))).isSymbolicLink()) throw error;
    throw new FileSystemError('link', {
      code: 'denied',
      message: `${part} is a symbolic link`,
      hint: 'Remove the link; a store follows none.',
    });
  }
}

function own(directory: Directory): NodeDirectory {
  if (directory instanceof NodeDirectory) return directory;
  throw new TypeError('a directory of another file system');
}
