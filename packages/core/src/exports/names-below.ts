import type { CallOptions, Store } from '@gantry/transport';

/** The names of what a store has below a prefix, such as in the directory of an export. @throws StoreError */
export async function namesBelow(store: Store, prefix: string, options: CallOptions = {}): Promise<ReadonlySet<string>> {
  const names = new Set<string>();
  for await (const { key } of store.list(prefix, options)) names.add(key.slice(prefix.length));
  return names;
}
