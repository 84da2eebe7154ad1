import type { Identities, SealedFile, SealedSource } from '@gantry/age';
import { AgeError } from '@gantry/age';
import { GantryError } from '../report/errors.ts';
import type { ObjectReader, Unsealer } from './unsealing.ts';

/** How many objects are known at once: one request less for each range of them. */
const MAX_KNOWN = 1000;

/**
 * What opens sealed exports by identities of their recipients.
 *
 * @param given or what loads them, when they are first needed; what it throws is thrown for each object
 */
export function identityUnsealer(given: Identities | (() => Promise<Identities>)): Unsealer {
  const known = new Map<string, Promise<SealedFile>>();
  let loading: Promise<Identities> | undefined;
  const identities = (): Promise<Identities> => (loading ??= typeof given === 'function' ? given() : Promise.resolve(given));
  const start = async (store: ObjectReader, key: string, source: SealedSource): Promise<SealedFile> => {
    try {
      return await (await identities()).open(source);
    } catch (error) {
      throw asMismatch(error, store.address, key);
    }
  };
  return {
    async open({ store, key, source }) {
      const name = `${store.address} ${key}`;
      const opening = known.get(name) ?? start(store, key, source);
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

function asMismatch(error: unknown, address: string, key: string): unknown {
  if (!(error instanceof AgeError) || error.code !== 'no-identity') return error;
  return new GantryError('IDENTITY_MISMATCH', {
    message: `cannot read ${key} in ${address}: none of the identities belongs to a recipient of the export`,
    hint: 'Use an identity of one of its recipients: gantry show names them.',
    cause: error,
  });
}
