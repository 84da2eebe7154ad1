import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { lstat, open, stat, unlink } from 'node:fs/promises';
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
import { isToken, listPending, makePlace, pendingPlace, readRecord, removePlace } from './pending-room.ts';
import { inTheWay, linkOnTheWay } from './publish.ts';
import { asStoreError, systemErrorCode } from './system-error.ts';
import { isWithin } from './within.ts';

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
    await using file = await this.#open(key, signal);
    const { size, mtime } = await file.stat();
    return { key, size, modified: mtime };
  }

  async read(key: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<ByteSource> {
    assertKey(key);
    signal?.throwIfAborted();
    const file = await this.#open(key, signal);
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
      if (await this.#isReachable(`${prefix}x`)) yield* listObjects(this.#root, prefix, signal);
    } catch (error) {
      throw asStoreError(error, `listing ${join(this.#root, prefix)}`, undefined, signal);
    }
  }

  async begin(key: string, { ifExists = 'fail', signal }: BeginOptions = {}): Promise<PendingObject> {
    assertKey(key);
    signal?.throwIfAborted();
    return this.#doing(`beginning ${key} in ${this.#root}`, key, signal, async () => {
      await this.#assertPlaceForRoot();
      await this.#assertFree(key, ifExists);
      const [place, record] = await makePlace(this.#root, key, ifExists);
      try {
        return await PendingFile.create(this.#root, place, record);
      } catch (error) {
        await removePlace(this.#root, place).catch(() => undefined);
        throw error;
      }
    });
  }

  async resume(token: string, { signal }: CallOptions = {}): Promise<PendingObject> {
    signal?.throwIfAborted();
    const place = pendingPlace(this.#root, token);
    return this.#doing(`resuming ${token} in ${this.#root}`, token, signal, async () => {
      return PendingFile.takeOver(this.#root, place, await readRecord(place), signal);
    });
  }

  async *pending(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<PendingInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    try {
      for await (const info of listPending(this.#root)) {
        signal?.throwIfAborted();
        if (info.key.startsWith(prefix)) yield info;
      }
    } catch (error) {
      throw asStoreError(error, `looking for unfinished writes in ${this.#root}`, undefined, signal);
    }
  }

  async clear(tokens: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    for (const token of tokens.filter(isToken)) {
      await this.#doing(`clearing ${token} in ${this.#root}`, token, signal, async () => {
        signal?.throwIfAborted();
        const place = pendingPlace(this.#root, token);
        const key = await readRecord(place).then(
          (record) => record.key,
          () => undefined,
        );
        await removePlace(this.#root, place);
        // Its writer may have been killed when it had just made directories for the object.
        if (key !== undefined) await removeEmptyParents(this.#root, key);
      });
    }
  }

  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) assertKey(key);
    signal?.throwIfAborted();
    const removed = new Set<string>();
    try {
      for (const key of keys) {
        signal?.throwIfAborted();
        await this.#doing(`removing ${key} from ${this.#root}`, key, signal, () => this.#remove(key, removed));
      }
    } finally {
      for (const parent of new Set([...removed].map((key) => dirname(key)))) {
        await syncDirectory(join(this.#root, parent)).catch(() => undefined);
      }
      for (const key of removed) await removeEmptyParents(this.#root, key);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held open between calls.
  }

  async #remove(key: string, removed: Set<string>): Promise<void> {
    try {
      if (!(await isWithin(this.#root, key))) return;
      await unlink(join(this.#root, key));
      removed.add(key);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw error;
    }
  }

  /** Opens an object that is really one, really in this store: a regular file, with no link on the way to it. */
  async #open(key: string, signal: AbortSignal | undefined): Promise<FileHandle> {
    return this.#doing(`opening ${key} in ${this.#root}`, key, signal, async () => {
      await this.#assertRoot();
      const file = await this.#openFile(key);
      try {
        signal?.throwIfAborted();
        if ((await file.stat()).isFile() && (await this.#isReachable(key))) return file;
        throw this.#noObject(key);
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  async #openFile(key: string): Promise<FileHandle> {
    try {
      return await open(join(this.#root, key), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      // A link (ELOOP), a socket (ENXIO), a device without a driver (ENODEV): no objects, see open(2).
      if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'ENODEV'].includes(systemErrorCode(error) ?? '')) throw this.#noObject(key);
      throw error;
    }
  }

  #noObject(key: string): StoreError {
    return new StoreError('not-found', { message: `there is no object ${key} in the store ${this.#root}`, key });
  }

  /** Whether the directory of a key is there, with no link on the way to it. */
  async #isReachable(key: string): Promise<boolean> {
    try {
      return await isWithin(this.#root, key);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return false;
      throw error;
    }
  }

  /** Says early what commit would say late. */
  async #assertFree(key: string, ifExists: 'fail' | 'replace'): Promise<void> {
    try {
      const found = await lstat(join(this.#root, key));
      if (!(await isWithin(this.#root, key))) throw linkOnTheWay(this.#root, key);
      if (found.isDirectory()) throw inTheWay(this.#root, key);
      if (ifExists === 'fail') throw new StoreError('exists', { message: `${key} is there already`, key });
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOTDIR') throw inTheWay(this.#root, key, error);
      if (code !== 'ENOENT') throw error;
    }
  }

  async #assertRoot(): Promise<void> {
    const found = await stat(this.#root).catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return undefined;
      throw error;
    });
    if (found?.isDirectory() === true) return;
    throw new StoreError('not-found', {
      message: found === undefined ? `there is no directory ${this.#root}` : `${this.#root} is no directory`,
      hint: 'Check the path, and that its file system is mounted; gantry store init makes a new store.',
    });
  }

  async #assertPlaceForRoot(): Promise<void> {
    // A file cannot be written into.
    if ((await stat(this.#root).catch(() => undefined))?.isDirectory() === false) await this.#assertRoot();
    if ((await stat(dirname(this.#root)).catch(() => undefined))?.isDirectory() === true) return;
    throw new StoreError('not-found', {
      message: `there is no directory ${dirname(this.#root)} to make the store ${this.#root} in`,
      hint: 'Check the path, or make the directory.',
    });
  }

  async #doing<T>(doing: string, key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw asStoreError(error, doing, key, signal);
    }
  }
}
