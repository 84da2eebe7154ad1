import type { Identities, SealedFile, SealedSource } from '@gantry/age';
import { AgeError } from '@gantry/age/light';
import type { CallOptions } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { readAddedKeys } from './added-keys.ts';
import type { ObjectReader, SealedObject, Unsealer } from './unsealing.ts';

/** How many objects are known at once: one request less for each range of them. */
const MAX_KNOWN = 1000;

/**
 * What opens sealed exports by identities of their recipients.
 *
 * @param given or what loads them, when they are first needed; what it throws is thrown for each object
 */
export function identityUnsealer(given: Identities | (() => Promise<Identities>)): Unsealer {
  /** Without what they are read from. */
  const known = new Map<string, Promise<SealedFile>>();
  let loading: Promise<Identities> | undefined;
  const identities = (): Promise<Identities> => (loading ??= typeof given === 'function' ? given() : Promise.resolve(given));
  /** By the store and the prefix of the export. Files of several exports may have some: each is tried. */
  const added = new Map<string, Identities[]>();
  const looked = new Map<string, Promise<void>>();
  const takeAdded = async (store: ObjectReader, prefix: string, options: CallOptions): Promise<void> => {
    for (const [of, keys] of await readAddedKeys(store, prefix, await identities(), options)) {
      const place = `${store.address} ${of}`;
      added.set(place, [...(added.get(place) ?? []), keys]);
    }
  };
  const start = async ({ store, key, source }: SealedObject, options: CallOptions): Promise<SealedFile> => {
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    const place = `${store.address} ${prefix}`;
    let cause: AgeError;
    try {
      return await (await identities()).open(source);
    } catch (error) {
      if (!isMismatch(error)) throw error;
      cause = error;
    }
    const opened = await openWith(added.get(place) ?? [], source);
    if (opened !== undefined) return opened;
    // Anybody who can write to the store can put keys for other exports beside one: they must not hide those that are here.
    const looking = looked.get(place) ?? takeAdded(store, prefix, options);
    looked.set(place, looking);
    // After a failure, it is tried again.
    looking.catch(() => looked.delete(place));
    await looking;
    const file = await openWith(added.get(place) ?? [], source);
    if (file === undefined) throw mismatch(store.address, key, cause);
    return file;
  };
  return {
    async open(object, options) {
      const { store, key, source } = object;
      const name = `${store.address} ${key}`;
      const opening = known.get(name) ?? start(object, options).then((file) => withoutSource(file, source));
      known.delete(name);
      known.set(name, opening);
      const [oldest] = known.keys();
      if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest);
      try {
        return (await opening).from(source);
      } catch (error) {
        known.delete(name);
        throw error;
      }
    },
  };
}

/** A source may hold all of the operation that opened the file, such as the memory of its frames. */
function withoutSource(file: SealedFile, { size }: SealedSource): SealedFile {
  return file.from({
    size,
    read() {
      throw new TypeError('an encrypted object is read without its source');
    },
  });
}

function isMismatch(error: unknown): error is AgeError {
  return error instanceof AgeError && error.code === 'no-identity';
}

/** Undefined if none of the keys opens it. @throws AgeError `damaged`; what the source throws */
async function openWith(keys: readonly Identities[], source: SealedObject['source']): Promise<SealedFile | undefined> {
  for (const each of keys) {
    try {
      return await each.open(source);
    } catch (error) {
      if (!isMismatch(error)) throw error;
    }
  }
  return undefined;
}

/** @param cause by which readers of a pack know that it was its header, which may be damaged */
function mismatch(address: string, key: string, cause: AgeError): GantryError {
  return new GantryError('IDENTITY_MISMATCH', {
    message: `cannot read ${key} in ${address}: none of the identities belongs to a recipient of the export`,
    hint: 'Use an identity of one of its recipients: gantry keys check names them.',
    cause,
  });
}
