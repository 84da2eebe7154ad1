import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { link, lstat, mkdir, open, opendir, rename, rmdir, unlink } from 'node:fs/promises';
import type { Directory, Entry, FileInfo, ReadableFile, WritableFile } from '@gantry/directory-store';
import { FileSystemError, isFileSystemError } from '@gantry/directory-store';
import { closeOnFailure } from '@gantry/transport';
import { fileInfoOf, kindOf } from './file-info.ts';
import { NodeReadableFile, NodeWritableFile } from './node-files.ts';
import { asLinkError, calling, systemErrorCode } from './system-error.ts';

/** `O_PATH` of open(2), for which Node has no constant: the directory can be walked from, but neither read nor written. */
const O_PATH = 0o10000000;

const WALK = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** How many names are read at a time. */
const NAMES_PER_BATCH = 1024;

/** Opens a directory by its path, following links. */
export async function openDirectory(path: string): Promise<NodeDirectory> {
  const handle = await calling(open(path, O_PATH | constants.O_DIRECTORY));
  return NodeDirectory.of(handle, path);
}

/**
 * An open directory. Calls in it go through `/proc/self/fd/N/NAME` (proc_pid_fd(5)), like openat(2): they happen in this very directory,
 * even if it was moved and another one has its path now.
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
    const close = (): Promise<void> => handle.close();
    return closeOnFailure(close, async () => new NodeDirectory(handle, path, fileInfoOf(await calling(handle.stat()))));
  }

  async walk(parts: readonly string[]): Promise<NodeDirectory> {
    const [first, ...more] = parts;
    if (first === undefined) return NodeDirectory.of(await calling(open(this.#itself(), O_PATH | constants.O_DIRECTORY)), this.path);
    let handle = await openIn(this.#handle, first);
    let path = `${this.path}/${first}`;
    for (const part of more) {
      const above = handle;
      path = `${path}/${part}`;
      try {
        handle = await openIn(above, part);
      } finally {
        await above.close();
      }
    }
    return NodeDirectory.of(handle, path);
  }

  async walkEach(parts: readonly string[]): Promise<readonly NodeDirectory[]> {
    await using opened = new AsyncDisposableStack();
    const directories: NodeDirectory[] = [];
    for (const part of parts) {
      const next = await orMissing((directories.at(-1) ?? this).walk([part]));
      if (next === undefined) break;
      directories.push(opened.use(next));
    }
    opened.move();
    return directories;
  }

  async find(parts: readonly string[]): Promise<FileInfo | undefined> {
    return orMissing(this.#atEndOf(parts, async (name) => fileInfoOf(await calling(lstat(name)))));
  }

  async *entries(): AsyncGenerator<readonly Entry[], void, undefined> {
    await using directory = await calling(opendir(this.#itself(), { bufferSize: NAMES_PER_BATCH }));
    for (;;) {
      const batch: Entry[] = [];
      while (batch.length < NAMES_PER_BATCH) {
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
    return this.#atEndOf(parts, async (name) => NodeReadableFile.of(await calling(open(name, READ))));
  }

  async readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined> {
    await using file = await orMissing(this.read(parts));
    if (file === undefined) return undefined;
    return Buffer.concat(await Array.fromAsync(file.read(0, maxBytes), (chunk) => Buffer.from(chunk)));
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
      // fsync(2): the file system does not support it, like some network and user-space file systems.
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

  /** Runs a call on the file at the end of a walk. */
  async #atEndOf<T>(parts: readonly string[], work: (path: string) => Promise<T>): Promise<T> {
    const name = parts.at(-1) ?? '.';
    if (parts.length <= 1) return work(this.#at(name));
    await using directory = await this.walk(parts.slice(0, -1));
    return await work(directory.#at(name));
  }
}

async function openIn(above: FileHandle, part: string): Promise<FileHandle> {
  const path = `/proc/self/fd/${above.fd}/${part}`;
  try {
    return await calling(open(path, WALK));
  } catch (error) {
    // With these flags, a link also causes "not a directory".
    if (!isFileSystemError(error, 'other-kind') || !(await calling(lstat(path))).isSymbolicLink()) throw error;
    throw new FileSystemError('link', {
      code: 'denied',
      message: `${part} is a symbolic link`,
      hint: 'Remove the link: a store does not follow symbolic links.',
    });
  }
}

/** The result of a call; undefined if it fails because something is missing. */
async function orMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isFileSystemError(error, 'missing')) return undefined;
    throw error;
  }
}

function own(directory: Directory): NodeDirectory {
  if (directory instanceof NodeDirectory) return directory;
  throw new TypeError('a directory of another file system');
}
