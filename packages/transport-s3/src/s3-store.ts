import type {
  BeginOptions,
  ByteSource,
  CallOptions,
  HiddenObject,
  ObjectInfo,
  PendingInfo,
  PendingObject,
  ReadOptions,
  Store,
  StoreCapabilities,
  UnfinishedOptions,
} from '@gantry/transport';
import { StoreError, assertKey, assertPrefix } from '@gantry/transport';

import type { S3Options } from './address/options.ts';
import { untilAborted } from './requests/abort.ts';
import { listHidden, unhideObjects } from './read/hidden-objects.ts';
import { listObjects } from './read/listing.ts';
import { askLock, mayHaveLocks } from './read/object-lock.ts';
import { clearPending, listPending } from './read/unfinished-listing.ts';
import { alreadyExists } from './write/commit-object.ts';
import { statObject, statUnlessDenied } from './requests/stored-object.ts';
import { openSource } from './read/reading.ts';
import { renewLock } from './write/ensure-settings.ts';
import { removeObjects } from './write/removal.ts';
import { salvageUpload } from './write/salvage.ts';
import { S3Write } from './write/s3-write.ts';
import type { S3Context } from './s3-context.ts';
import { randomToken, uploadToken } from './requests/token.ts';
import { UploadStarter } from './write/upload-starter.ts';

/** A store in a bucket. */
export class S3Store implements Store {
  readonly address: string;
  readonly capabilities: StoreCapabilities;
  readonly #context: S3Context;
  /** Only where the address asks for locks. */
  readonly protect?: NonNullable<Store['protect']>;
  /** The writes of this store that are neither committed nor discarded. */
  readonly #live = new Set<S3Write>();
  /** Asked once. */
  #mayHaveLocks: Promise<boolean> | undefined;
  /** Whether this user may not see locks, as far as was found out. */
  #hidesLocks = false;
  /** What aborted calls still have to clean up. */
  readonly #tidying = new Set<Promise<void>>();

  constructor(context: S3Context) {
    this.#context = context;
    this.address = context.bucket.address.text;
    const { objectLock } = context.bucket.address.options;
    if (objectLock !== undefined) this.protect = (key, options) => this.#protect(key, objectLock, options);
    this.capabilities = {
      rangedRead: true,
      resumableWrite: false,
      createOnly: context.conditional.kind === 'full' || context.conditional.kind === 'put',
      maxObjectBytes: context.planFor(undefined).maxObjectBytes,
      rangedCopy: true,
    };
  }

  async stat(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo> {
    assertKey(key);
    const { bucket } = this.#context;
    let found: Awaited<ReturnType<typeof statObject>>;
    try {
      found = await statObject(bucket, key, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw bucket.translate(error, { doing: 'looking for', key });
    }
    if (found === undefined)
      throw new StoreError('not-found', { key, message: `${bucket.show(key)} does not exist`, hint: 'Check the name.' });
    return { key, size: found.size, modified: found.modified };
  }

  async read(key: string, options: ReadOptions = {}): Promise<ByteSource> {
    assertKey(key);
    return openSource(this.#context, key, options);
  }

  list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    return checked(prefix, () => listObjects(this.#context.bucket, prefix, signal));
  }

  async protectedUntil(key: string, { signal }: CallOptions = {}): Promise<Date | 'unknown' | undefined> {
    assertKey(key);
    const { bucket } = this.#context;
    this.#mayHaveLocks ??= mayHaveLocks(bucket, signal).catch((error: unknown) => {
      this.#mayHaveLocks = undefined;
      throw error;
    });
    if (!(await untilAborted(this.#mayHaveLocks, signal))) return undefined;
    const found = await statUnlessDenied(bucket, key, signal);
    if (found === 'denied' || found === undefined) return 'unknown';
    if (found.lockedUntil !== undefined) return found.lockedUntil;
    // Services leave the lock out of this answer for who may not see it.
    if (this.#hidesLocks) return 'unknown';
    const asked = await askLock(bucket, key, signal);
    this.#hidesLocks = asked === 'unknown';
    return asked;
  }

  async *hidden(prefix: string, { signal }: CallOptions = {}): AsyncGenerator<HiddenObject, void, undefined> {
    if (prefix === '' || prefix.endsWith('/')) assertPrefix(prefix);
    else assertKey(prefix);
    yield* listHidden(this.#context.bucket, prefix, signal);
  }

  async unhide(objects: readonly HiddenObject[], { signal }: CallOptions = {}): Promise<void> {
    for (const { key } of objects) assertKey(key);
    await unhideObjects(this.#context.bucket, objects, signal);
  }

  async begin(key: string, { ifExists = 'fail', expectedBytes, digestBy, signal }: BeginOptions = {}): Promise<PendingObject> {
    assertKey(key);
    const { bucket, planFor, warn } = this.#context;
    this.#refuseForReading(key);
    const createOnly = ifExists === 'fail';
    if (createOnly) await this.#refuseExisting(key, signal);
    signal?.throwIfAborted();
    const plan = planFor(expectedBytes);
    const isOurs = (uploadId: string): boolean => [...this.#live].some((write) => write.uploadId === uploadId);
    const starter = new UploadStarter(bucket, key, { isOurs, warn });
    // An object announced as small becomes one PutObject and does not need an upload.
    const small = expectedBytes !== undefined && expectedBytes <= plan.partBytes(1);
    const upload = small ? undefined : await this.#start(starter, signal);
    const token = upload === undefined ? randomToken() : uploadToken(key, upload.uploadId);
    const write: S3Write = new S3Write(this.#context, {
      key,
      token,
      createOnly,
      digestBy,
      plan,
      starter,
      upload,
      onEnd: () => this.#live.delete(write),
    });
    this.#live.add(write);
    return write;
  }

  async resume(token: string): Promise<PendingObject> {
    throw new StoreError('unsupported', {
      key: token,
      message: 'cannot resume an unfinished write: a store in a bucket does not support it',
      hint: 'Clear it and write the object again.',
    });
  }

  async salvage(token: string, options: UnfinishedOptions = {}): Promise<ObjectInfo | undefined> {
    return await untilAborted(salvageUpload(this.#context, token, options), options.signal);
  }

  pending(prefix: string, options: UnfinishedOptions = {}): AsyncIterable<PendingInfo> {
    return checked(prefix, () => this.#listPending(prefix, options));
  }

  async clear(tokens: readonly string[], { keys, signal }: UnfinishedOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    await untilAborted(this.#tidy(), signal);
    await untilAborted(clearPending(this.#context, this.#live, new Set(tokens), { keys, signal }), signal);
  }

  async remove(keys: readonly string[], { signal }: CallOptions = {}): Promise<void> {
    for (const key of keys) assertKey(key);
    await removeObjects(this.#context.bucket, keys, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tidy();
    await this.#context.digests[Symbol.asyncDispose]();
    this.#context.bucket.clients[Symbol.dispose]();
  }

  async #protect(key: string, lock: NonNullable<S3Options['objectLock']>, { signal }: CallOptions = {}): Promise<void> {
    assertKey(key);
    await renewLock(this.#context.bucket, key, lock, signal);
  }

  #refuseForReading(key: string): void {
    const { bucket, conditional } = this.#context;
    if (conditional.kind !== 'unknown') return;
    throw new StoreError('unsupported', {
      key,
      message: `cannot write ${bucket.show(key)}: the store was opened for reading only`,
      hint: 'Open it for writing.',
    });
  }

  async #refuseExisting(key: string, signal: AbortSignal | undefined): Promise<void> {
    const { bucket } = this.#context;
    if (!this.capabilities.createOnly) {
      throw new StoreError('unsupported', {
        key,
        message: `cannot write ${bucket.show(key)} only if it does not exist: the service does not support that condition`,
        hint: 'Check first whether it exists, then write with ifExists: replace.',
      });
    }
    const found = await statUnlessDenied(bucket, key, signal);
    if (found !== undefined && found !== 'denied') throw alreadyExists(bucket, key);
  }

  async *#listPending(prefix: string, { keys, signal }: UnfinishedOptions): AsyncGenerator<PendingInfo, void, undefined> {
    await untilAborted(this.#tidy(), signal);
    yield* listPending(this.#context, this.#live, { prefix, keys, signal });
  }

  /** Never cuts the request: an upload whose id did not arrive would be left behind. */
  async #start(starter: UploadStarter, signal: AbortSignal | undefined): ReturnType<UploadStarter['start']> {
    const started = starter.start();
    try {
      return await untilAborted(started, signal);
    } catch (error) {
      const tidied = starter.abandon(started).finally(() => this.#tidying.delete(tidied));
      this.#tidying.add(tidied);
      throw error;
    }
  }

  async #tidy(): Promise<void> {
    await Promise.all(this.#tidying);
  }
}

/** Lists, but checks the prefix before the first entry. */
async function* checked<T>(prefix: string, list: () => AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  assertPrefix(prefix);
  yield* list();
}
