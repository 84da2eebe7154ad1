import { createHash, randomBytes } from 'node:crypto';
import { abortable } from '../abortable.ts';
import { StoreError } from '../errors.ts';
import { assertKey, assertPrefix } from '../key.ts';
import { assertRange, assertRangeCopy } from '../range.ts';
import type {
  BeginOptions,
  ByteSource,
  CallOptions,
  CommitDigest,
  ObjectInfo,
  PendingInfo,
  PendingObject,
  ReadOptions,
  Store,
  StoreCapabilities,
} from '../store.ts';

interface StoredObject {
  readonly bytes: Buffer;
  readonly modified: Date;
}

interface Unfinished {
  readonly key: string;
  readonly ifExists: 'fail' | 'replace';
  readonly digestBy: 'store' | 'caller' | 'reader';
  readonly started: Date;
  bytes: Buffer;
  /** The store that owns it now; undefined when suspended. */
  holder: MemoryStore | undefined;
}

/** The stored data. Two stores over one memory act like two processes with one store. */
export class Memory {
  readonly objects: Map<string, StoredObject> = new Map();
  readonly unfinished: Map<string, Unfinished> = new Map();
}

const CHUNK_BYTES = 64 * 1024;

/** A store in memory, for tests. It keeps every promise of the contract, except that its data does not survive the process. */
export class MemoryStore implements Store {
  readonly address = 'memory:';
  readonly capabilities: StoreCapabilities = {
    rangedRead: true,
    resumableWrite: true,
    createOnly: true,
    maxObjectBytes: Infinity,
    rangedCopy: true,
  };
  readonly #memory: Memory;

  constructor(memory: Memory = new Memory()) {
    this.#memory = memory;
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    assertKey(key);
    signal?.throwIfAborted();
    const { bytes, modified } = this.#find(key);
    return { key, size: bytes.length, modified };
  }

  async read(key: string, { offset = 0, length, signal }: ReadOptions = {}): Promise<ByteSource> {
    assertKey(key);
    signal?.throwIfAborted();
    const { bytes } = this.#find(key);
    const range = { offset, length: length ?? Math.max(0, bytes.length - offset), objectSize: bytes.length };
    assertRange(key, range);
    return {
      length: range.length,
      objectSize: range.objectSize,
      [Symbol.asyncIterator]: () => abortable(inChunks(bytes.subarray(offset, offset + range.length)), signal),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<ObjectInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    for (const [key, { bytes, modified }] of [...this.#memory.objects].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      signal?.throwIfAborted();
      if (key.startsWith(prefix)) yield { key, size: bytes.length, modified };
    }
  }

  async begin(key: string, { ifExists = 'fail', digestBy = 'store', signal }: BeginOptions = {}): Promise<PendingObject> {
    assertKey(key);
    signal?.throwIfAborted();
    if (ifExists === 'fail') this.#assertFree(key);
    const token = randomBytes(16).toString('hex');
    const unfinished: Unfinished = { key, ifExists, digestBy, started: new Date(), bytes: Buffer.alloc(0), holder: this };
    this.#memory.unfinished.set(token, unfinished);
    return this.#pendingObject(token, unfinished);
  }

  async resume(token: string, { signal }: CallOptions = {}): Promise<PendingObject> {
    signal?.throwIfAborted();
    const unfinished = this.#memory.unfinished.get(token);
    if (unfinished === undefined) throw noUnfinished(token);
    // A new record, so that the previous holder, which was taken for dead, no longer owns it.
    const resumed: Unfinished = { ...unfinished, digestBy: 'store', holder: this };
    this.#memory.unfinished.set(token, resumed);
    return this.#pendingObject(token, resumed);
  }

  async salvage(token: string, { signal }: CallOptions = {}): Promise<ObjectInfo | undefined> {
    signal?.throwIfAborted();
    const unfinished = this.#memory.unfinished.get(token);
    if (unfinished === undefined) throw noUnfinished(token);
    const { key, bytes } = unfinished;
    if (bytes.length === 0) return undefined;
    this.#assertFree(key);
    const modified = new Date();
    this.#memory.unfinished.delete(token);
    this.#memory.objects.set(key, { bytes, modified });
    return { key, size: bytes.length, modified };
  }

  async *pending(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<PendingInfo> {
    assertPrefix(prefix);
    signal?.throwIfAborted();
    for (const [token, { key, bytes, started, holder }] of this.#memory.unfinished) {
      signal?.throwIfAborted();
      if (!key.startsWith(prefix)) continue;
      yield { token, key, durableBytes: bytes.length, started, owner: holder === undefined ? 'dead' : 'alive', ownerText: 'this process' };
    }
  }

  async clear(tokens: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    for (const token of tokens) this.#memory.unfinished.delete(token);
  }

  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) assertKey(key);
    signal?.throwIfAborted();
    for (const key of keys) this.#memory.objects.delete(key);
  }

  /** As when a process ends: its unfinished writes have no owner any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const unfinished of this.#memory.unfinished.values()) {
      if (unfinished.holder === this) unfinished.holder = undefined;
    }
  }

  #find(key: string): StoredObject {
    const found = this.#memory.objects.get(key);
    if (found === undefined) throw new StoreError('not-found', { key, message: `there is no object ${key}` });
    return found;
  }

  #assertFree(key: string): void {
    if (this.#memory.objects.has(key)) throw new StoreError('exists', { key, message: `${key} already exists` });
  }

  #pendingObject(token: string, unfinished: Unfinished): PendingObject {
    const { key } = unfinished;
    const { objects, unfinished: all } = this.#memory;
    let failed = false;
    const assertOpen = (): void => {
      if (failed) throw new StoreError('unsupported', { key, message: `cannot use the write of ${key}: it has failed` });
      if (all.get(token) !== unfinished)
        throw new StoreError('not-found', { key, message: `cannot use the write of ${key}: it has ended` });
    };
    const end = async (): Promise<void> => {
      if (unfinished.holder !== undefined && all.get(token) === unfinished) all.delete(token);
    };
    const leave = async (): Promise<void> => {
      unfinished.holder = undefined;
    };
    return {
      key,
      token,
      get durableBytes() {
        return unfinished.bytes.length;
      },
      append: async (source, { signal } = {}) => {
        assertOpen();
        try {
          for await (const chunk of abortable(source, signal)) {
            assertOpen();
            unfinished.bytes = Buffer.concat([unfinished.bytes, chunk]);
          }
        } catch (error) {
          failed = true;
          throw error;
        }
      },
      appendRange: async (range, { signal } = {}) => {
        assertOpen();
        assertKey(range.key);
        signal?.throwIfAborted();
        assertRangeCopy(key, unfinished.digestBy);
        try {
          const { bytes } = this.#find(range.key);
          assertRange(range.key, { ...range, objectSize: bytes.length });
          unfinished.bytes = Buffer.concat([unfinished.bytes, bytes.subarray(range.offset, range.offset + range.length)]);
          return 0;
        } catch (error) {
          failed = true;
          throw error;
        }
      },
      commit: async (digest, { signal } = {}) => {
        assertOpen();
        all.delete(token);
        signal?.throwIfAborted();
        assertDigest(unfinished, digest);
        if (unfinished.ifExists === 'fail') this.#assertFree(key);
        const modified = new Date();
        objects.set(key, { bytes: unfinished.bytes, modified });
        return { key, size: unfinished.bytes.length, modified };
      },
      discard: end,
      suspend: leave,
      leave,
      [Symbol.asyncDispose]: end,
    };
  }
}

function noUnfinished(token: string): StoreError {
  return new StoreError('not-found', { key: token, message: `there is no unfinished write ${JSON.stringify(token)}` });
}

function assertDigest({ key, bytes, digestBy }: Unfinished, { size, sha256 }: CommitDigest): void {
  if (bytes.length === size && digestBy !== 'store') return;
  if (bytes.length === size && createHash('sha256').update(bytes).digest('hex') === sha256) return;
  throw new StoreError('integrity', {
    key,
    message: `cannot commit ${key}: the ${bytes.length} bytes that arrived do not match the digest of ${size} bytes`,
  });
}

/** Always in the same memory, as a store may: a consumer that keeps a chunk must copy it. */
async function* inChunks(bytes: Buffer): AsyncGenerator<Uint8Array> {
  const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes.length));
  for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
    const length = bytes.copy(chunk, 0, offset, offset + CHUNK_BYTES);
    yield chunk.subarray(0, length);
  }
}
