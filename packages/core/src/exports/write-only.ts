import type { Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';

/**
 * Allows credentials that may only add exports, but not read or remove any, so that an intruder on this host cannot harm existing ones:
 * returns the result of `look`, or `unseen` if this user may not look. Only for stores that create without replacing: there it is safe
 * not to have looked.
 *
 * @throws what `look` throws otherwise
 */
export async function allowWriteOnly<T>(store: Store, unseen: T, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (store.capabilities.createOnly && isStoreError(error, 'denied')) return unseen;
    throw error;
  }
}
