import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { packKey, packsOfOthers } from './export-objects.ts';
import type { Manifest } from './manifest.ts';

const MAX_PARALLEL_REQUESTS = 8;

interface KeepOptions extends CallOptions {
  readonly warn: (message: string) => void;
  readonly own?: readonly string[] | undefined;
}

/**
 * Makes the service keep the packs of others that an export refers to as long as its own objects, where the store asks for that: one
 * request a pack. The export is complete without, so what is refused is only said.
 *
 * @param options.own keys of its own objects that were there before this run, with an earlier lock
 * @throws the reason of the signal
 */
export async function keepPacks(
  store: Store,
  manifest: Pick<Manifest, 'instance' | 'exportId' | 'dumps'>,
  { warn, own = [], signal = new AbortController().signal }: KeepOptions,
): Promise<void> {
  if (store.protect === undefined) return;
  const refused: string[] = [];
  await sideBySide([...packsOfOthers(manifest).map(packKey), ...own], MAX_PARALLEL_REQUESTS, signal, async (key, signal) => {
    try {
      await store.protect?.(key, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isStoreError(error)) throw error;
      refused.push(errorText(error));
    }
  });
  const [first] = refused;
  if (first === undefined) return;
  const which =
    own.length === 0 ? 'dumps of earlier exports, to which this one refers,' : 'files that were there before, which this export needs,';
  warn(`${refused.length} ${which} are not protected as long as its own: ${first}`);
}
