import type { ByteSource, StoreErrorCode } from '@gantry/transport';
import { firstFailure, isStoreError, laterFailures } from '@gantry/transport';
import type { GantryErrorCode } from '../report/errors.ts';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { asFirstError } from '../report/first-error.ts';

interface Translation {
  readonly code: GantryErrorCode;
  readonly hint?: string;
}

const CHANGED = 'Another process changed the store meanwhile: try again.';

const TRANSLATIONS: Readonly<Record<StoreErrorCode, Translation>> = {
  'not-found': { code: 'STORE_NOT_FOUND', hint: CHANGED },
  exists: { code: 'BUSY', hint: CHANGED },
  'invalid-key': { code: 'STORE_FAILED' },
  'invalid-range': { code: 'STORE_FAILED', hint: CHANGED },
  'invalid-address': { code: 'STORE_ADDRESS', hint: 'Use a directory, or a URL with a scheme that Gantry supports.' },
  denied: { code: 'STORE_DENIED', hint: 'Give the user who runs Gantry access to it, or use another store.' },
  integrity: { code: 'STORE_FAILED', hint: 'The store or the connection to it damages data: check its disks, memory and network.' },
  full: { code: 'STORE_FULL', hint: 'Free space in the store: gantry remove removes exports.' },
  unavailable: { code: 'STORE_UNAVAILABLE', hint: 'Try again when the store can be reached.' },
  unsupported: { code: 'STORE_UNSUPPORTED', hint: 'Use another store for this.' },
};

/**
 * Translates an error of a store to core's errors, with the store's address. Any other error (and the reason of a signal) is returned
 * unchanged. Where cleaning up failed too, the first error counts, and the later ones become its details. To be thrown by the caller:
 * `throw asGantryError(error, store.address)`.
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

/** What one of several stores failed with, while the operation goes on in the others. An error of another kind gets the store's address. */
export function asStoreFailure(error: unknown, address: string): GantryError {
  const failure = asGantryError(error, address);
  if (failure instanceof GantryError) return failure;
  return new GantryError('STORE_FAILED', { message: `store ${address}: ${errorText(failure)}`, cause: error });
}

/** Whether the store is to blame, so that another one may do better. */
export function isOfStore(error: unknown): boolean {
  return isStoreError(error) || (error instanceof GantryError && error.code.startsWith('STORE_'));
}

/** Runs `work`, and translates the errors of the store. */
export async function withStoreErrors<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asGantryError(error, address);
  }
}

/** A source whose errors are core's, while it is read too. */
export function translatedSource(source: ByteSource, address: string): ByteSource {
  return {
    length: source.length,
    objectSize: source.objectSize,
    async *[Symbol.asyncIterator]() {
      try {
        yield* source;
      } catch (error) {
        throw asGantryError(error, address);
      }
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}
