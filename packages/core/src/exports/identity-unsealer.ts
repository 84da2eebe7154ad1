import type { Identities, SealedFile, SealedSource } from '@gantry/age';
import { AgeError } from '@gantry/age/light';
import type { CallOptions } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { readAddedKeys } from './added-keys.ts';
import { SharedResults } from './shared-results.ts';
import type { ObjectReader, SealedObject, Unsealer } from './unsealing.ts';

/** How many objects are known at once: one request less for each range of them. */
const MAX_KNOWN = 1000;
/** How many keys that were added to exports are known at once, with the exports beside which there are none. Others are read again. */
const MAX_ADDED = 10_000;

/**
 * What opens sealed exports by identities of their recipients.
 *
 * @param given or what loads them, when they are first needed; what it throws is thrown for each object
 */
export function identityUnsealer(given: Identities | (() => Promise<Identities>)): Unsealer {
  /** Without what they are read from. */
  const known = new SharedResults<SealedFile>(MAX_KNOWN);
  let loading: Promise<Identities> | undefined;
  const identities = (): Promise<Identities> => (loading ??= typeof given === 'function' ? given() : Promise.resolve(given));
  /** The keys beside an export: by the store and the prefix of the export that they open. */
  const added = new SharedResults<ReadonlyMap<string, Identities>>(MAX_ADDED, (keys) => 1 + keys.size);
  /** Keys beside several exports may be for one: each is tried. */
  const openWithAdded = async (place: string, source: SealedSource): Promise<SealedFile | undefined> => {
    for (const [beside, keys] of added.made()) {
      const file = await openWith(keys.get(place), source);
      if (file === undefined) continue;
      added.use(beside);
      return file;
    }
    return undefined;
  };
  const start = async ({ store, key, source }: SealedObject, options: CallOptions): Promise<SealedFile> => {
    const prefix = key.slice(0, key.lastIndexOf('/') + 1);
    const place = placeOf(store, prefix);
    let cause: AgeError;
    try {
      return await (await identities()).open(source);
    } catch (error) {
      if (!isMismatch(error)) throw error;
      cause = error;
    }
    const opened = await openWithAdded(place, source);
    if (opened !== undefined) return opened;
    // Anybody who can write to the store can put keys for other exports beside one: they must not hide those that are here.
    const beside = await added.get(place, async () => keysBeside(store, prefix, await identities(), options), options);
    const file = (await openWith(beside.get(place), source)) ?? (await openWithAdded(place, source));
    if (file === undefined) throw mismatch(store.address, key, cause);
    return file;
  };
  return {
    async open(object, options) {
      const { store, key, source } = object;
      const make = async (): Promise<SealedFile> => withoutSource(await start(object, options), source);
      return (await known.get(placeOf(store, key), make, options)).from(source);
    },
  };
}

function placeOf(store: ObjectReader, key: string): string {
  return `${store.address} ${key}`;
}

async function keysBeside(
  store: ObjectReader,
  prefix: string,
  identities: Identities,
  options: CallOptions,
): Promise<ReadonlyMap<string, Identities>> {
  const keys = await readAddedKeys(store, prefix, identities, options);
  return new Map([...keys].map(([of, each]) => [placeOf(store, of), each]));
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

/** Undefined if the keys do not open it. @throws AgeError `damaged`; what the source throws */
async function openWith(keys: Identities | undefined, source: SealedSource): Promise<SealedFile | undefined> {
  try {
    return await keys?.open(source);
  } catch (error) {
    if (!isMismatch(error)) throw error;
    return undefined;
  }
}

/** @param cause by which readers of a pack know that it was its header, which may be damaged */
function mismatch(address: string, key: string, cause: AgeError): GantryError {
  return new GantryError('IDENTITY_MISMATCH', {
    message: `cannot read ${key} in ${address}: none of the identities belongs to a recipient of the export`,
    hint: 'Use an identity of one of its recipients: gantry keys check names them.',
    cause,
  });
}
