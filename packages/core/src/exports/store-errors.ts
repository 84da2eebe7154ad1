import type { StoreErrorCode } from '@gantry/transport';
import { firstFailure, isStoreError, laterFailures } from '@gantry/transport';
import type { GantryErrorCode } from '../report/errors.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { asFirstError } from '../report/first-error.ts';

interface Translation {
  readonly code: GantryErrorCode;
  readonly hint?: string;
}

const CHANGED = 'Something else changed the store meanwhile; try again.';

const TRANSLATIONS: Readonly<Record<StoreErrorCode, Translation>> = {
  'not-found': { code: 'STORE_NOT_FOUND', hint: CHANGED },
  exists: { code: 'BUSY', hint: CHANGED },
  'invalid-key': { code: 'STORE_FAILED' },
  'invalid-range': { code: 'STORE_FAILED', hint: CHANGED },
  'invalid-address': { code: 'STORE_ADDRESS', hint: 'Name a directory, or a URL with a scheme that Gantry knows.' },
  denied: { code: 'STORE_DENIED', hint: 'Give the user who runs Gantry access to it, or name another store.' },
  integrity: { code: 'STORE_FAILED', hint: 'The store or the way to it damages data: check its disks, memory and network.' },
  full: { code: 'STORE_FULL', hint: 'Make room in the store: gantry remove takes exports out of it.' },
  unavailable: { code: 'STORE_UNAVAILABLE', hint: 'Try again when the store can be reached.' },
  unsupported: { code: 'STORE_UNSUPPORTED', hint: 'Use another store for this.' },
};

/**
 * What a store failed with, in core's terms and with the store's address; any other error (and the reason of a signal) comes back
 * as it is. Where cleaning up failed too, the first failure counts, and the later ones are its details. To be thrown by the caller: `throw asGantryError(error, store.address)`.
 */
export function asGantryError(error: unknown, address: string): unknown {
  return translate(error, `store ${address}`);
}

/** {@link asGantryError} for a store that could not be opened. */
export function asOpenError(error: unknown, address: string): unknown {
  return translate(error, `cannot open ${address}`);
}

function translate(error: unknown, what: string): unknown {
  const first = firstFailure(error);
  if (!isStoreError(first)) return asFirstError(error);
  const { code, hint } = TRANSLATIONS[first.code];
  const details = laterFailures(error).map((failure) => `after that: ${errorText(failure)}`);
  return new GantryError(code, { message: `${what}: ${first.message}`, hint: first.hint ?? hint, details, cause: error });
}

/** Runs `work`, whose failures of a store become core's. */
export async function withStoreErrors<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asGantryError(error, address);
  }
}
