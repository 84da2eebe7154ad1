import { createHash } from 'node:crypto';
import type { SealedFile, SealedSource } from '@gantry/age';
import { AgeError } from '@gantry/age/light';
import type { ByteSource, CallOptions, Digest, Store } from '@gantry/transport';
import { alterStore, isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { Manifest } from './manifest.ts';
import { UnreadableTextError } from './small-object.ts';

/** What of a store is needed for reading an object. */
export type ObjectReader = Pick<Store, 'address' | 'read' | 'list'>;

/** An encrypted object of an export. */
export interface SealedObject {
  readonly store: ObjectReader;
  readonly key: string;
  /** Its stored bytes. */
  readonly source: SealedSource;
}

/** The plain text of a frame map that this machine has kept. To be disposed of by the one who asked for it. */
export interface KeptSource extends AsyncIterable<Uint8Array>, AsyncDisposable {}

/** Opens what is encrypted in sealed exports. One for a whole operation: it keeps the keys of objects that it has opened. */
export interface Unsealer {
  /**
   * Reads the header of an object, and finds its key. Absent where there are no identities, but only texts that this machine has kept.
   *
   * @throws GantryError `IDENTITY_NEEDED`, `IDENTITY_MISMATCH`; AgeError `damaged`; what the store throws
   */
  readonly open?: (object: SealedObject, options: CallOptions) => Promise<SealedFile>;
  /**
   * The plain bytes of a frame map that this machine kept when it wrote the map; undefined if it did not.
   *
   * @param key of the object
   * @param digest of the object as it is stored
   */
  readonly kept?: (key: string, digest: Digest) => Promise<KeptSource | undefined>;
}

/** A store whose sealed exports are opened as they are read. */
interface UnsealingStore extends Store {
  readonly unsealer: Unsealer;
}

/** The same store, but sealed exports in it are opened. */
export function withUnsealer(store: Store, unsealer: Unsealer): Store {
  const opening: UnsealingStore = { ...alterStore(store, {}), unsealer };
  return opening;
}

/** The same store, but sealed exports in it stay closed: for what needs no keys. */
export function withoutUnsealer(store: Store): Store {
  return isUnsealing(store) ? alterStore(store, {}) : store;
}

/** Whether this machine has kept the plain text of a frame map, for the recipients that the new export has. */
export async function hasKept(store: object, key: string, digest: Digest): Promise<boolean> {
  await using kept = await unsealerOf(store)?.kept?.(key, digest);
  return kept !== undefined;
}

/** Whether there are identities for the sealed exports of the store. */
export function opensSealed(store: object): boolean {
  return unsealerOf(store)?.open !== undefined;
}

/** What was given to {@link withUnsealer}. */
export function unsealerOf(store: object): Unsealer | undefined {
  return isUnsealing(store) ? store.unsealer : undefined;
}

function isUnsealing(store: object): store is UnsealingStore {
  return 'unsealer' in store;
}

/** @throws GantryError `IDENTITY_NEEDED`; as {@link Unsealer.open} */
async function openSealed(object: SealedObject, options: CallOptions): Promise<SealedFile> {
  const open = unsealerOf(object.store)?.open;
  if (open === undefined) throw identityNeeded(`cannot read ${object.key} in ${object.store.address}`);
  return await open(object, options);
}

/** What is needed of an export that was opened, to know whether it is closed. */
export interface MaybeSealed {
  readonly reference: string;
  readonly manifest?: Manifest;
  readonly mismatch?: GantryError;
}

/** Whether an export is sealed, and nothing opened it. */
export function isClosed(store: object, { manifest, mismatch }: Omit<MaybeSealed, 'reference'>): boolean {
  return mismatch !== undefined || (manifest?.sealed !== undefined && !opensSealed(store));
}

/**
 * For what needs all of an export, before it does anything.
 *
 * @throws GantryError `IDENTITY_NEEDED`, `IDENTITY_MISMATCH` for a sealed one that cannot be opened
 */
export function assertOpened(store: Pick<Store, 'address'>, { reference, manifest, mismatch }: MaybeSealed): void {
  if (mismatch !== undefined) throw mismatch;
  if (manifest?.sealed !== undefined && !opensSealed(store)) throw identityNeeded(`cannot read ${reference} in ${store.address}`);
}

function identityNeeded(what: string): GantryError {
  return new GantryError('IDENTITY_NEEDED', {
    message: `${what}: the export is sealed`,
    hint: 'Give the identity of one of its recipients: --identity FILE. One that was encrypted with a passphrase: --passphrase.',
  });
}

/** Yields the same chunks. @param offset of the first byte in the object */
export type PassStored = (chunks: AsyncIterable<Uint8Array>, offset: number) => AsyncIterable<Uint8Array>;

/**
 * A range of the plain bytes of an encrypted object, as a body of a store.
 *
 * @param pass what is read goes through it, but for the header
 * @param size stored bytes of the whole object, as the manifest says
 * @param onOtherSize called with the size that it has instead; returns what to throw
 * @throws AgeError `damaged`, and as {@link Unsealer.open}; the same while reading
 */
export async function readSealed(
  store: ObjectReader,
  object: {
    readonly key: string;
    readonly size: number;
    readonly onOtherSize: (size: number) => Error;
    readonly pass?: PassStored | undefined;
  },
  { offset, length, ...options }: CallOptions & { readonly offset: number; readonly length: number },
): Promise<ByteSource> {
  const { key, size, onOtherSize, pass } = object;
  const source: SealedSource = {
    size,
    async *read(from, bytes) {
      await using body = await store.read(key, { ...options, offset: from, length: bytes });
      if (body.objectSize !== size) throw onOtherSize(body.objectSize);
      yield* body;
    },
  };
  const opened = await openSealed({ store, key, source }, options);
  const file = pass === undefined ? opened : opened.from({ size, read: (from, bytes) => pass(source.read(from, bytes), from) });
  const end = offset + length;
  if (end > file.plainBytes) throw new AgeError('damaged', `it has ${file.plainBytes} plain bytes, and ${end} are needed`);
  const chunks = file.read(offset, length);
  return {
    length,
    objectSize: size,
    [Symbol.asyncIterator]: () => chunks,
    [Symbol.asyncDispose]: async () => {
      await chunks.return();
    },
  };
}

/**
 * The plain bytes of an encrypted object from its start to its end, which this machine may have kept. What is read is compared with the
 * digest of the stored bytes: at the latest after the last piece.
 *
 * @throws UnreadableTextError for another object than the expected one; AgeError `damaged`; as {@link Unsealer.open}
 */
export async function* unsealedBytes(
  store: ObjectReader,
  key: string,
  expected: Digest,
  options: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  await using kept = await unsealerOf(store)?.kept?.(key, expected);
  if (kept !== undefined) {
    yield* kept;
    return;
  }
  const hash = createHash('sha256');
  const stored = async function* (offset: number, length: number): AsyncGenerator<Uint8Array, void, undefined> {
    await using body = await store.read(key, { ...options, offset, length }).catch((error: unknown) => {
      if (isStoreError(error, 'not-found')) throw new UnreadableTextError('it is missing', { cause: error });
      if (isStoreError(error, 'invalid-range'))
        throw new UnreadableTextError(`it is cut off: it should have ${expected.size} bytes`, { cause: error });
      throw error;
    });
    if (body.objectSize !== expected.size) throw new UnreadableTextError(`it has ${body.objectSize} bytes instead of ${expected.size}`);
    yield* body;
  };
  const take = async (offset: number, length: number): Promise<void> => {
    for await (const chunk of stored(offset, length)) hash.update(chunk);
  };
  const source: SealedSource = {
    size: expected.size,
    async *read(from, bytes) {
      // What is before the payload: read again, or not at all if the unsealer knows the object.
      if (from > 0) await take(0, from);
      for await (const chunk of stored(from, bytes)) {
        if (from > 0) hash.update(chunk);
        yield chunk;
      }
    },
  };
  const assertExpected = (): void => {
    const sha256 = hash.digest('hex');
    if (sha256 !== expected.sha256) throw new UnreadableTextError(`SHA-256 mismatch: got ${sha256}, expected ${expected.sha256}`);
  };
  let file: SealedFile;
  try {
    file = await openSealed({ store, key, source }, options);
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== 'IDENTITY_MISMATCH') throw error;
    // A damaged header looks like one for others.
    await take(0, expected.size);
    assertExpected();
    throw error;
  }
  yield* file.read();
  assertExpected();
}

/** {@link unsealedBytes} of a small object. @param maxBytes more plain bytes are refused */
export async function readUnsealed(
  store: ObjectReader,
  key: string,
  expected: Digest,
  { maxBytes, ...options }: CallOptions & { readonly maxBytes: number },
): Promise<Uint8Array> {
  if (expected.size > 2 * maxBytes) throw new UnreadableTextError(`it is too large: ${expected.size} bytes`);
  const chunks: Buffer[] = [];
  for await (const chunk of unsealedBytes(store, key, expected, options)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
