import type { CallOptions, StoreReader } from '@gantry/transport';
import { readDirectories } from './directories.ts';
import { withStoreErrors } from './store-errors.ts';

/** The two parts of `INSTANCE@EXPORT-ID`. */
export interface ExportName {
  readonly instance: string;
  readonly id: string;
}

/**
 * The names of every export in a store (or of one instance), by instance, oldest first. They are read from the keys alone, which is fast:
 * unfinished and damaged exports are among them.
 *
 * @throws GantryError `STORE_*`
 */
export async function exportNames(
  store: StoreReader & { readonly address: string },
  { instance, signal }: CallOptions & { readonly instance?: string | undefined } = {},
): Promise<readonly ExportName[]> {
  return await withStoreErrors(store.address, async () => {
    const names: ExportName[] = [];
    for await (const directories of readDirectories(store, instance, { signal })) {
      for (const { instance, id } of directories) names.push({ instance, id });
    }
    return names;
  });
}
