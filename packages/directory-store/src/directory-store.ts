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
  StoreSpace,
} from '@gantry/transport';
import { assertKey, assertPrefix, assertRange, openOrAbort, orAbort } from '@gantry/transport';
import { StoreContext } from './context.ts';
import type { Directory, FileSystem, FileInfo } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { listObjects, objectInfo } from './listing.ts';
import { ObjectSource } from './object-source.ts';
import { noObject, openObject } from './open-object.ts';
import { orMissing, removeEmptyParents, splitKey } from './paths.ts';
import { alreadyExists, wrongKind, linkInPath, notReplaceable } from './refusals.ts';
import { removeObjects } from './removal.ts';
import { StableRoot, assertRoot } from './root.ts';
import { sweepEmptyDirectories } from './sweep.ts';
import { listUnfinished } from './unfinished/list.ts';
import { makeWriteDirectory, openWriteDirectory, removePendingDirectory, removeWriteDirectory } from './unfinished/write-directory.ts';
import type { IfExists } from './unfinished/record.ts';
import { readRecord } from './unfinished/record.ts';
import { salvage, takeOver } from './unfinished/take-over.ts';
import { isToken } from './unfinished/token.ts';
import { UnfinishedWrite } from './unfinished/unfinished-write.ts';

/** How many objects are removed in parallel. */
const MAX_PARALLEL_REMOVALS = 32;

export interface DirectoryStoreOptions {
  /** The address in the form that a user can give again, without secrets. */
  readonly address: string;
  /** The store's name in messages. */
  readonly shown: string;
  /** Called with warnings for the user. */
  readonly warn: (message: string) => void;
}

/**
 * A store in a directory of a file system: the object `a/b` is the file `ROOT/a/b`, so that ordinary tools, and Ganeti, find it. The
 * first write creates the directory if its parent exists.
 */
export class DirectoryStore implements Store {
  readonly address: string;
  readonly capabilities: StoreCapabilities = {
    rangedRead: true,
    resumableWrite: true,
    createOnly: true,
    maxObjectBytes: Infinity,
    rangedCopy: true,
  };
  readonly #fileSystem: FileSystem;
  readonly #context: StoreContext;
  readonly #root: StableRoot;

  constructor(fileSystem: FileSystem, options: DirectoryStoreOptions) {
    this.address = options.address;
    this.#fileSystem = fileSystem;
    this.#context = new StoreContext(fileSystem, options);
    this.#root = new StableRoot(this.#context);
  }

  /** Connects to the file system, so that problems with it are reported first. @throws StoreError */
  async connect({ signal }: CallOptions = {}): Promise<void> {
    await this.#context.connecting(signal, () => this.#fileSystem.capabilities(signal));
  }

  async space({ signal }: CallOptions = {}): Promise<StoreSpace | undefined> {
    return this.#context.doing({ doing: 'asking for the free space', signal }, async () => await this.#fileSystem.space?.(signal));
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    assertKey(key);
    return this.#context.doing({ doing: `checking ${key}`, key, signal }, async () => {
      const found = await orAbort(this.#find(key), signal);
      if (found?.kind === 'file') return objectInfo(key, found);
      throw await noObject(this.#context, key, signal);
    });
  }

  async read(key: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<ByteSource> {
    assertKey(key);
    return this.#context.doing({ doing: `opening ${key}`, key, signal }, async () => {
      await using scope = new AsyncDisposableStack();
      const file = scope.use(await openObject(this.#context, key, signal));
      const { size } = file.found;
      const range = { offset, length: length ?? Math.max(0, size - offset), objectSize: size };
      assertRange(key, range);
      signal?.throwIfAborted();
      scope.move();
      return new ObjectSource(this.#context, key, file, range, signal);
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<ObjectInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    try {
      await orAbort(assertRoot(this.#context, signal), signal);
      await using root = await openOrAbort(this.#fileSystem.root(signal), signal);
      await using directory = await openOrAbort(walkToPrefix(root, prefix), signal);
      if (directory !== undefined) yield* listObjects(directory, prefix, signal);
    } catch (error) {
      throw await this.#context.explain(error, { doing: `listing ${prefix === '' ? 'objects' : prefix}`, signal });
    }
  }

  async begin(key: string, { ifExists = 'fail', digestBy, signal }: BeginOptions = {}): Promise<PendingObject> {
    assertKey(key);
    return this.#context.doing({ doing: `creating ${key}`, key, signal }, async () => {
      if (ifExists === 'replace' && !(await this.#fileSystem.capabilities(signal)).replace) throw notReplaceable(this.#context.shown, key);
      const [root] = await orAbort(Promise.all([this.#root.ensure(signal), this.#assertFree(key, ifExists)]), signal);
      const files = await makeWriteDirectory(this.#context, root, key, ifExists);
      await using scope = new AsyncDisposableStack();
      scope.defer(() => removeWriteDirectory(this.#context, files.token).catch(() => undefined));
      scope.use(files.directory);
      const write = await UnfinishedWrite.create(this.#context, this.#root, files, { digestBy, signal });
      scope.use(write);
      signal?.throwIfAborted();
      scope.move();
      return write;
    });
  }

  async resume(token: string, { signal }: CallOptions = {}): Promise<PendingObject> {
    return this.#context.doing({ doing: `resuming ${token}`, key: token, signal }, () =>
      takeOver(this.#context, this.#root, token, signal),
    );
  }

  async salvage(token: string, { signal }: CallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#context.doing({ doing: `salvaging ${token}`, key: token, signal }, () =>
      salvage(this.#context, this.#root, token, signal),
    );
  }

  async *pending(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<PendingInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    const infos = listUnfinished(this.#context, signal);
    try {
      for (;;) {
        const { value } = await orAbort(infos.next(), signal);
        if (value === undefined) return;
        if (value.key.startsWith(prefix)) yield value;
      }
    } catch (error) {
      throw await this.#context.explain(error, { doing: 'listing unfinished writes', signal });
    } finally {
      await infos.return();
    }
  }

  async clear(tokens: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const token of tokens.filter(isToken)) {
      await this.#context.doing({ doing: `clearing ${token}`, key: token, signal }, () => this.#clear(token));
    }
    if (tokens.length === 0) await this.#context.doing({ doing: 'cleaning up', signal }, () => this.#sweep(signal));
    signal?.throwIfAborted();
  }

  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) assertKey(key);
    signal?.throwIfAborted();
    for (let at = 0; at < keys.length; at += MAX_PARALLEL_REMOVALS) {
      const batch = keys.slice(at, at + MAX_PARALLEL_REMOVALS);
      const doing = `removing ${batch[0]}${batch.length > 1 ? ', …' : ''}`;
      await this.#context.doing({ doing, key: batch[0], signal }, () => orAbort(removeObjects(this.#context, batch), signal));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fileSystem[Symbol.asyncDispose]();
  }

  /** Undefined if there is no such object in this store, reached without symbolic links. */
  async #find(key: string): Promise<FileInfo | undefined> {
    try {
      await using root = await this.#fileSystem.root();
      return await root.find(key.split('/'));
    } catch (error) {
      if (isFileSystemError(error, 'missing', 'link', 'other-kind')) return undefined;
      throw error;
    }
  }

  /** Finds early what would make commit fail later. @throws StoreError `exists`, `denied` */
  async #assertFree(key: string, ifExists: IfExists): Promise<void> {
    const { shown } = this.#context;
    let found: FileInfo | undefined;
    try {
      await using root = await this.#openRoot();
      found = await root?.find(key.split('/'));
    } catch (error) {
      if (isFileSystemError(error, 'link')) throw linkInPath(shown, key, error);
      if (isFileSystemError(error, 'other-kind')) throw wrongKind(shown, key, error);
      throw error;
    }
    if (found === undefined) return;
    if (found.kind === 'directory') throw wrongKind(shown, key);
    if (ifExists === 'fail') throw alreadyExists(key);
  }

  /** Undefined if it is missing or not a directory. */
  async #openRoot(signal?: AbortSignal): Promise<Directory | undefined> {
    try {
      return await this.#fileSystem.root(signal);
    } catch (error) {
      if (isFileSystemError(error, 'missing', 'other-kind')) return undefined;
      throw error;
    }
  }

  async #clear(token: string): Promise<void> {
    const key = await this.#keyOf(token);
    await using root = await this.#openRoot();
    if (root === undefined) return;
    await removeWriteDirectory(this.#context, token);
    // Its writer may have been killed after it had made directories for the object.
    if (key !== undefined) await removeEmptyParents(root, key);
  }

  async #keyOf(token: string): Promise<string | undefined> {
    try {
      await using directory = await openWriteDirectory(this.#context, token);
      return (await readRecord(directory, token)).key;
    } catch {
      // Its directory or its record is missing or damaged: there may still be something to remove.
      return undefined;
    }
  }

  async #sweep(signal: AbortSignal | undefined): Promise<void> {
    await using root = await this.#openRoot(signal);
    if (root === undefined) return;
    await removePendingDirectory(root);
    await orMissing(sweepEmptyDirectories(root, signal));
  }
}

/** The directory of the objects with a prefix; undefined if there is none. */
async function walkToPrefix(root: Directory, prefix: string): Promise<Directory | undefined> {
  try {
    return await root.walk(splitKey(prefix).parents);
  } catch (error) {
    if (isFileSystemError(error, 'missing', 'link', 'other-kind')) return undefined;
    throw error;
  }
}
