import type { CallOptions, StoreReader } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';

/**
 * The first of some objects that is not there with its size.
 *
 * @param prefixes what to list: they hold all of the objects
 * @throws StoreError
 */
export async function findMissing<T extends { readonly key: string; readonly size: number }>(
  store: StoreReader,
  prefixes: Iterable<string>,
  objects: readonly T[],
  options: CallOptions,
): Promise<T | undefined> {
  const missing = new Map(objects.map((object) => [object.key, object]));
  for (const prefix of new Set(prefixes)) {
    try {
      for await (const { key, size } of store.list(prefix, options)) if (missing.get(key)?.size === size) missing.delete(key);
    } catch (error) {
      // Nothing is there.
      if (!isStoreError(error, 'not-found')) throw error;
    }
  }
  const [first] = missing.values();
  return first;
}
