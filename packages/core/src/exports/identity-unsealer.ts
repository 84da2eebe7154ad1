import type { Identities, SealedFile } from '@gantry/age';
import { AgeError } from '@gantry/age';
import { GantryError } from '../report/errors.ts';
import type { Unsealer } from './unsealing.ts';

/** How many objects are known at once: one request less for each range of them. */
const MAX_KNOWN = 1000;

/** What opens sealed exports by identities of their recipients. */
export function identityUnsealer(identities: Identities): Unsealer {
  const known = new Map<string, Promise<SealedFile>>();
  return {
    async open({ store, key, source }) {
      const name = `${store.address} ${key}`;
      const opening =
        known.get(name) ?? identities.open(source).catch((error: unknown) => Promise.reject(asMismatch(error, store.address, key)));
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
