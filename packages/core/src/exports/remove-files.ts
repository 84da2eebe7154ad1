import type { CallOptions, Store } from '@gantry/transport';
import { exportPrefix } from './export-id.ts';

/** Removes files of an export's directory, by their names. @throws StoreError */
export async function removeFiles(
  store: Store,
  { instance, id }: { readonly instance: string; readonly id: string },
  names: readonly string[],
  options: CallOptions,
): Promise<void> {
  const prefix = exportPrefix(instance, id);
  await store.remove(
    names.map((name) => `${prefix}${name}`),
    options,
  );
}
