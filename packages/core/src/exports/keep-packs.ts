import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { packKey, packsOfOthers } from './export-objects.ts';
import type { Manifest } from './manifest.ts';

const MAX_PARALLEL_REQUESTS = 8;

/**
 * Makes the service keep the packs of others that an export refers to as long as its own objects, where the store asks for that: one
 * request a pack. The export is complete without, so what is refused is only said.
 *
 * @throws the reason of the signal
 */
export async function keepPacks(
  store: Store,
  manifest: Pick<Manifest, 'instance' | 'exportId' | 'dumps'>,
  { warn, signal = new AbortController().signal }: CallOptions & { readonly warn: (message: string) => void },
): Promise<void> {
  if (store.protect === undefined) return;
  const refused: string[] = [];
  await sideBySide(packsOfOthers(manifest), MAX_PARALLEL_REQUESTS, signal, async (pack, signal) => {
    try {
      await store.protect?.(packKey(pack), { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isStoreError(error)) throw error;
      refused.push(errorText(error));
    }
  });
  const [first] = refused;
  if (first === undefined) return;
  warn(`${refused.length} dumps of earlier exports, to which this one refers, are not protected as long as its own: ${first}`);
}
