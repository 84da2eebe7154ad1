import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, realpath, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type {
  BeginOptions,
  ByteSource,
  CallOptions,
  ObjectInfo,
  PendingInfo,
  PendingObject,
  ReadOptions,
  Store,
  StoreCapabilities,
} from '@gantry/transport';
import { StoreError, assertKey, assertPrefix, assertRange } from '@gantry/transport';
import { syncDirectory } from './durable.ts';
import { removeEmptyParents } from './empty-parents.ts';
import { FileSource } from './file-source.ts';
import { listObjects } from './listing.ts';
import { PendingFile } from './pending-file.ts';
import { listPending, makePlace, pendingPlace, readRecord, removePlace, writeRecord } from './pending-room.ts';
import { thisProcess } from './owner.ts';
import { asStoreError, systemErrorCode } from './system-error.ts';

/**
 * A store in a directory: the object `a/b` is the file `ROOT/a/b`, so that ordinary tools, and Ganeti, find it. The directory is
 * made by the first write, when the one above it is there.
 */
export class FileStore implements Store {
  readonly address: string;
  readonly capabilities: StoreCapabilities = { rangedRead: true, resumableWrite: true, createOnly: true, maxObjectBytes: Infinity };
  readonly #root: string;

  constructor(directory: string) {
    this.#root = resolve(directory);
    this.address = pathToFileURL(this.#root).href;
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    assertKey(key);
    signal?.throwIfAborted();
    await using file = await this.#open(key);
    const { size, mtime } = await file.stat();
    return { key, size, modified: mtime };
  }

  async read(key: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<ByteSource> {
    assertKey(key);
    signal?.throwIfAborted();
    const file = await this.#open(key);
    try {
      const { size } = await file.stat();
      const range = { offset, length: length ?? Math.max(0, size - offset), objectSize: size };
      assertRange(key, range);
      signal?.throwIfAborted();
      return new FileSource(key, file, range, signal);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<ObjectInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    try {
      await this.#assertRoot();
      yield* listObjects(this.#root, prefix === '' ? '' : prefix, signal);
    } catch (error) {
      throw asStoreError(error, `listing ${join(this.#root, prefix)}`);
    }
  }

  async begin(key: string, { ifExists = 'fail', signal }: BeginOptions = {}): Promise<PendingObject> {
    assertKey(key);
    signal?.throwIfAborted();
    return this.#doing(`beginning ${key} in ${this.#root}`, key, async () => {
      await this.#assertParentOfRoot();
      if (ifExists === 'fail' && (await exists(join(this.#root, key))))
        throw new StoreError('exists', { message: `${key} is there already`, key });
      const place = await makePlace(this.#root, key, ifExists);
      try {
        return await PendingFile.open(this.#root, place, await readRecord(place), signal);
      } catch (error) {
        await removePlace(this.#root, place);
        throw error;
      }
    });
  }

  async resume(token: string, { signal }: CallOptions = {}): Promise<PendingObject> {
    signal?.throwIfAborted();
    const place = pendingPlace(this.#root, token);
    return this.#doing(`resuming ${token} in ${this.#root}`, token, async () => {
      const record = { ...(await readRecord(place)), owner: await thisProcess() };
      await writeRecord(place, record);
      return PendingFile.open(this.#root, place, record, signal);
    });
  }

  async *pending(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<PendingInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    for await (const info of listPending(this.#root)) {
      signal?.throwIfAborted();
      if (info.key.startsWith(prefix)) yield info;
    }
  }

  async clear(tokens: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    const places = tokens.map((token) => pendingPlace(this.#root, token));
    for (const place of places) {
      signal?.throwIfAborted();
      await this.#doing(`clearing ${place.token} in ${this.#root}`, place.token, () => removePlace(this.#root, place));
    }
  }

  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) assertKey(key);
    const parents = new Set<string>();
    for (const key of keys) {
      signal?.throwIfAborted();
      await this.#doing(`removing ${key} from ${this.#root}`, key, () => this.#remove(key, parents));
    }
    for (const parent of parents) await syncDirectory(parent).catch(() => undefined);
    for (const key of keys) await removeEmptyParents(this.#root, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open between calls.
  }

  async #remove(key: string, parents: Set<string>): Promise<void> {
    const path = join(this.#root, key);
    try {
      await unlink(path);
      parents.add(dirname(path));
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw error;
    }
  }

  /** Opens an object that is really one, really in this store: a regular file that no link leads to. */
  async #open(key: string): Promise<FileHandle> {
    const path = join(this.#root, key);
    return this.#doing(`opening ${key} in ${this.#root}`, key, async () => {
      await this.#assertRoot();
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        const inside = (await realpath(dirname(path))).startsWith((await realpath(this.#root)).replace(/\/?$/, ''));
        if ((await file.stat()).isFile() && inside) return file;
        throw new StoreError('not-found', { message: `${key} is no object of the store ${this.#root}`, key });
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  async #assertRoot(): Promise<void> {
    const found = await stat(this.#root).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return undefined;
      throw error;
    });
    if (found?.isDirectory() === true) return;
    throw new StoreError('not-found', {
      message: `there is no directory ${this.#root}`,
      hint: 'Check the path; the first export makes the directory.',
    });
  }

  async #assertParentOfRoot(): Promise<void> {
    if ((await stat(dirname(this.#root)).catch(() => undefined))?.isDirectory() === true) return;
    throw new StoreError('not-found', {
      message: `there is no directory ${dirname(this.#root)} to make the store ${this.#root} in`,
      hint: 'Check the path, or make the directory.',
    });
  }

  async #doing<T>(doing: string, key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw asStoreError(error, doing, key);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return false;
      throw error;
    },
  );
}
