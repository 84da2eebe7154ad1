import type { Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';

/**
 * What a look into the store comes to, or `unseen` where this user may not look: one who may add exports and neither read nor remove
 * any, so that whoever breaks into the host can do nothing to those that are there. Only where the store creates without replacing:
 * there nothing is lost by not having looked.
 *
 * @throws what `look` throws otherwise
 */
export async function lookIfAllowed<T>(store: Store, unseen: T, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (store.capabilities.createOnly && isStoreError(error, 'denied')) return unseen;
    throw error;
  }
}
