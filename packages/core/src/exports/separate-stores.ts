import type { CallOptions, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { storeId } from './store-marker.ts';

/**
 * Refuses one store under two addresses: the same export in both is one copy, not two. Stores that have no id yet, or cannot be asked, are
 * accepted: what is done with them says why.
 *
 * @throws GantryError `USAGE`; the reason of the signal
 */
export async function assertSeparateStores(stores: readonly Store[], options: CallOptions): Promise<void> {
  const seen = new Map<string, Store>();
  for (const store of stores) {
    const id = await knownStoreId(store, options);
    const same = id === undefined ? undefined : seen.get(id);
    if (same !== undefined) throw oneStore(same, store);
    if (id !== undefined) seen.set(id, store);
  }
}

/** What stores have said: an open one stays the one that it is. */
const known = new WeakMap<Store, string>();

/** The id of a store; undefined if it has none yet, or cannot be asked: what comes next says why. @throws the reason of the signal */
export async function knownStoreId(store: Store, options: CallOptions): Promise<string | undefined> {
  try {
    const id = known.get(store) ?? (await storeId(store, options));
    if (id !== undefined) known.set(store, id);
    return id;
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof GantryError) return undefined;
    throw error;
  }
}

function oneStore({ address }: Store, other: Store): GantryError {
  return new GantryError('USAGE', {
    message: `${address} and ${other.address} are one store: gantry-store.json has the same id in both`,
    hint: `Name it once. If one was made as a copy of the other with another tool, give it its own id: remove its gantry-store.json, then run gantry store init.`,
  });
}
