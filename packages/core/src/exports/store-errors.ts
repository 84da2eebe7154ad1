import type { StoreErrorCode } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';

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
 * as it is. To be thrown by the caller: `throw asGantryError(error, store.address)`.
 */
export function asGantryError(error: unknown, address: string): unknown {
  if (!isStoreError(error)) return error;
  const { code, hint } = TRANSLATIONS[error.code];
  return new GantryError(code, { message: `store ${address}: ${error.message}`, hint: error.hint ?? hint, cause: error });
}

/** Runs `work`, whose failures of a store become core's. */
export async function withStoreErrors<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asGantryError(error, address);
  }
}
