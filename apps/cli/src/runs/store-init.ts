import { initializeStore } from '@gantry/core';
import type { Session } from '../session.ts';

/** Runs `gantry store init`. */
export async function run(session: Session, [address]: readonly [string]): Promise<void> {
  await using store = await session.open(address, 'write');
  const { id, created } = await initializeStore(store, { signal: session.signal });
  const text = created ? `created the store ${store.address}` : `${store.address} is already a store`;
  session.output.result({ operation: 'store-init', store: store.address, storeId: id, created }, text);
}
