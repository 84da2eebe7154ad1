import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { MANIFEST_FILE, REMOVED_FILE, unusedMark } from './layout.ts';
import type { PackName } from './pack-uses.ts';

/** What decides whether packs may be referred to: {@link readUsablePacks}. */
export interface UsablePacks {
  /** Whether a pack is there with that size, and stays. */
  has(pack: PackName & { readonly size: number }): boolean;
}

/**
 * Which packs of some instances an export may refer to. To be called **after** a claim is in the store that names the owners of all these
 * packs as parents: who removes packs marks them first and then looks for claims (docs/decisions/0119), so one of the two sees the other.
 *
 * A pack is usable while it is not marked as unused, its size is as expected, and its export is there or was removed with its packs kept.
 * The marks are looked for before the rest, because they go last.
 *
 * @throws StoreError
 */
export async function readUsablePacks(store: Store, instances: Iterable<string>, options: CallOptions = {}): Promise<UsablePacks> {
  const names = [...new Set(instances)];
  const before = await sizesOf(store, names, options);
  const now = await sizesOf(store, names, options);
  return {
    has: ({ instance, exportId, name, size }) => {
      const prefix = `${instance}/${exportId}/`;
      if (before.has(`${prefix}${unusedMark(name)}`) || now.has(`${prefix}${unusedMark(name)}`)) return false;
      return now.get(`${prefix}${name}`) === size && [MANIFEST_FILE, REMOVED_FILE].some((file) => now.has(`${prefix}${file}`));
    },
  };
}

async function sizesOf(store: Store, instances: readonly string[], options: CallOptions): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (const instance of instances) {
    try {
      for await (const { key, size } of store.list(`${instance}/`, options)) sizes.set(key, size);
    } catch (error) {
      // Nothing of the instance is there.
      if (!isStoreError(error, 'not-found')) throw error;
    }
  }
  return sizes;
}
