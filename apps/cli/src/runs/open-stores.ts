import { GantryError, unopenedStore } from '@gantry/core';
import type { Store } from '@gantry/transport';
import type { Session } from '../session.ts';
import type { UnsealFlags } from '../unsealing.ts';

/** Stores that are written together. Disposing it disposes them. */
export interface OpenedStores extends AsyncDisposable {
  readonly first: Store;
  readonly others: readonly Store[];
}

/**
 * Opens stores that are written together: one of several that cannot be opened fails by itself.
 *
 * @throws GantryError for an address that is not valid; any, for a single store
 */
export async function openStores(
  session: Session,
  [first = '', ...others]: readonly string[],
  access: 'read' | 'write',
  flags: UnsealFlags = {},
): Promise<OpenedStores> {
  await using opened = new AsyncDisposableStack();
  const open = async (address: string): Promise<Store> => {
    try {
      return opened.use(await session.openSealed(address, access, flags));
    } catch (error) {
      if (others.length === 0 || !(error instanceof GantryError) || !isOfOneStore(error)) throw error;
      return unopenedStore(address, error);
    }
  };
  const [one, rest] = [await open(first), await Promise.all(others.map(open))];
  const scope = opened.move();
  return { first: one, others: rest, [Symbol.asyncDispose]: () => scope.disposeAsync() };
}

/** Whether the call was right, and the store is to blame. */
function isOfOneStore({ code }: GantryError): boolean {
  return code.startsWith('STORE_') && code !== 'STORE_ADDRESS';
}
