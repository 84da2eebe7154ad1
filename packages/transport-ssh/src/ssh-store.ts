import { posix } from 'node:path';
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
import { StoreError, assertKey, assertPrefix, assertRange, orAbort } from '@gantry/transport';
import type { SshAddress } from './address.ts';
import type { SshEngine } from './engine/channel.ts';
import type { Attributes } from './sftp/attributes.ts';
import { isDirectory, isRegularFile } from './sftp/attributes.ts';
import { LanePool } from './sftp/lane-pool.ts';
import { STATUS } from './sftp/protocol.ts';
import type { SftpClient } from './sftp/sftp-client.ts';
import { hasStatus } from './sftp/status-error.ts';
import { asStoreError } from './store/errors.ts';
import { listObjects, objectInfo } from './store/listing.ts';
import { openObject } from './store/open-object.ts';
import { PeerDirectory } from './store/peer-directory.ts';
import { isToken, listPending, makePlace, pendingPlace, readRecord, removePlace, writerFiles } from './store/pending-room.ts';
import { assertFree } from './store/publish.ts';
import { isWithin, lookAt, missing, removeEmptyParents, syncDirectory } from './store/remote-files.ts';
import { RemotePending } from './store/remote-pending.ts';
import { RemoteSource } from './store/remote-source.ts';

/** How many objects are removed at once. */
const REMOVE_AT_ONCE = 32;

/**
 * A store in a directory of a peer, over SFTP alone: no command is run there. The object `a/b` is the file `DIRECTORY/a/b`, so that
 * ordinary tools find it there, and a local directory store reads it. The directory is made by the first write, when the one above
 * it is there.
 */
export class SshStore implements Store {
  readonly address: string;
  readonly #shown: string;
  readonly capabilities: StoreCapabilities = { rangedRead: true, resumableWrite: true, createOnly: true, maxObjectBytes: Infinity };
  readonly #engine: SshEngine;
  readonly #pool: LanePool;
  readonly #directory: PeerDirectory;

  constructor(engine: SshEngine, address: SshAddress, warn: (message: string) => void) {
    this.address = address.href;
    this.#shown = address.shown;
    this.#engine = engine;
    this.#pool = new LanePool(engine, { stallMs: address.stallTimeoutMs, maxLanes: address.connections });
    this.#directory = new PeerDirectory(this.#pool, { address: address.shown, directory: address.directory, warn });
  }

  /** Connects, so that what is wrong with the peer is said before anything is done. @throws StoreError */
  async connect({ signal }: CallOptions = {}): Promise<void> {
    await this.#doing('connecting to', undefined, signal, async () => undefined);
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    assertKey(key);
    return this.#doing(`looking at ${key} in`, key, signal, async ({ client, root }) => {
      return objectInfo(key, await orAbort(this.#find(client, root, key), signal));
    });
  }

  async read(key: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<ByteSource> {
    assertKey(key);
    return this.#doing(`opening ${key} in`, key, signal, async ({ client, root }) => {
      await orAbort(this.#find(client, root, key), signal);
      await using scope = new AsyncDisposableStack();
      const { lanes, size } = await openObject(this.#pool, posix.join(root, key), signal);
      scope.use(lanes);
      const range = { offset, length: length ?? Math.max(0, size - offset), objectSize: size };
      assertRange(key, range);
      scope.move();
      return new RemoteSource({ key, address: this.#shown }, lanes, range, signal);
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<ObjectInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    try {
      const { client, root } = await this.#directory.reach(signal);
      await orAbort(this.#assertRoot(client, root), signal);
      if (await orAbort(isWithin(client, root, `${prefix}x`), signal)) yield* listObjects(client, root, prefix, signal);
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw asStoreError(error, { doing: `listing ${prefix} in ${this.#shown}` });
    }
  }

  async begin(key: string, { ifExists = 'fail', signal }: BeginOptions = {}): Promise<PendingObject> {
    assertKey(key);
    return this.#doing(`beginning ${key} in`, key, signal, async ({ client, root }) => {
      if (ifExists === 'replace') this.#assertReplaces(client, key);
      await orAbort(Promise.all([this.#assertParentOfRoot(client, root), assertFree(client, root, key, ifExists)]), signal);
      const making = makePlace(client, root, key, ifExists);
      try {
        const [place, record] = await orAbort(making, signal);
        return await RemotePending.create(this.#directory, place, record, signal);
      } catch (error) {
        await making.then(([place, record]) => removePlace(client, root, place, writerFiles(place, record))).catch(() => undefined);
        throw error;
      }
    });
  }

  async resume(token: string, { signal }: CallOptions = {}): Promise<PendingObject> {
    signal?.throwIfAborted();
    if (!isToken(token)) pendingPlace('/', token);
    return this.#doing(`resuming ${token} in`, token, signal, async ({ client, root }) => {
      const place = pendingPlace(root, token);
      const record = await orAbort(readRecord(client, place), signal);
      return RemotePending.takeOver(this.#directory, place, record, signal);
    });
  }

  async *pending(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<PendingInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    try {
      const { client, root } = await this.#directory.reach(signal);
      const infos = listPending(client, root);
      for (;;) {
        const { value } = await orAbort(infos.next(), signal);
        if (value === undefined) return;
        if (value.key.startsWith(prefix)) yield value;
      }
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw asStoreError(error, { doing: `looking for unfinished writes in ${this.#shown}` });
    }
  }

  async clear(tokens: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const token of tokens.filter(isToken)) {
      await this.#doing(`clearing ${token} in`, token, signal, ({ client, root }) =>
        orAbort(removePlace(client, root, pendingPlace(root, token)), signal),
      );
    }
    signal?.throwIfAborted();
  }

  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) assertKey(key);
    signal?.throwIfAborted();
    for (let at = 0; at < keys.length; at += REMOVE_AT_ONCE) {
      const batch = keys.slice(at, at + REMOVE_AT_ONCE);
      await this.#doing(`removing ${batch[0]}${batch.length > 1 ? ', …' : ''} from`, batch[0], signal, ({ client, root }) =>
        orAbort(removeObjects(client, root, batch), signal),
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    await this.#engine[Symbol.asyncDispose]();
  }

  #doing<T>(
    what: string,
    key: string | undefined,
    signal: AbortSignal | undefined,
    work: (place: { readonly client: SftpClient; readonly root: string }) => Promise<T>,
  ): Promise<T> {
    return this.#directory.doing({ doing: `${what} ${this.#shown}`, key }, signal, work);
  }

  /** An object that is really one, really in this store: a regular file, with no link on the way to it. */
  async #find(client: SftpClient, root: string, key: string): Promise<Attributes> {
    const [attributes, within] = await Promise.all([lookAt(client, posix.join(root, key)), isWithin(client, root, key)]);
    if (attributes !== undefined && isRegularFile(attributes) && within) return attributes;
    await this.#assertRoot(client, root);
    throw new StoreError('not-found', { message: `there is no object ${key} in the store ${this.#shown}`, key });
  }

  async #assertRoot(client: SftpClient, root: string): Promise<void> {
    if (isDirectory((await client.stat(root).catch(missing)) ?? {})) return;
    throw new StoreError('not-found', {
      message: `there is no directory ${root} on the peer of ${this.#shown}`,
      hint: 'Check the path, and that its file system is mounted; gantry store init makes a new store.',
    });
  }

  async #assertParentOfRoot(client: SftpClient, root: string): Promise<void> {
    if (isDirectory((await client.stat(posix.dirname(root)).catch(missing)) ?? {})) return;
    throw new StoreError('not-found', {
      message: `there is no directory ${posix.dirname(root)} on the peer of ${this.#shown} to make the store in`,
      hint: 'Check the path, or make the directory there.',
    });
  }

  #assertReplaces(client: SftpClient, key: string): void {
    if (client.has('posixRename')) return;
    throw new StoreError('unsupported', {
      key,
      message: `${this.#shown} cannot replace ${key}: the SFTP server of the peer has no posix-rename@openssh.com`,
      hint: 'Remove the object first, or use OpenSSH on the peer.',
    });
  }
}

async function removeObjects(client: SftpClient, root: string, keys: readonly string[]): Promise<void> {
  const results = await Promise.allSettled(keys.map((key) => removeObject(client, root, key)));
  const removed = keys.filter((_, index) => results[index]?.status === 'fulfilled');
  const parents = new Set(removed.map((key) => posix.dirname(key)));
  await Promise.all([...parents].map((parent) => syncDirectory(client, posix.join(root, parent))));
  for (const key of removed) await removeEmptyParents(client, root, key);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function removeObject(client: SftpClient, root: string, key: string): Promise<void> {
  if (!(await isWithin(client, root, key))) return;
  const path = posix.join(root, key);
  try {
    await client.remove(path);
  } catch (error) {
    if (hasStatus(error, STATUS.noSuchFile)) return;
    // A directory is no object, so there is none of that name.
    if (hasStatus(error, STATUS.failure) && isDirectory((await lookAt(client, path)) ?? {})) return;
    throw error;
  }
}
