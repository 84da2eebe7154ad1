import type { Store } from '@gantry/transport';
import type { ExportRequest } from '../src/operations/export.ts';
import { watchedStore } from './watched-store.ts';

/**
 * The parts of a request of an export that is cut off as soon as this many bytes are in the store. Cut by what it has read instead, it may
 * have stored nothing yet.
 * @param atThatMoment called before it is cut off
 */
export function cutWhenStored(
  store: Store,
  bytes: number,
  atThatMoment: () => void = () => {},
): Required<Pick<ExportRequest, 'signal' | 'store'>> {
  const cut = new AbortController();
  let stored = 0;
  const alter = (_key: string, chunk: Uint8Array): Uint8Array => {
    if (stored >= bytes && !cut.signal.aborted) {
      atThatMoment();
      cut.abort(new Error('cut off'));
    }
    stored += chunk.length;
    return chunk;
  };
  return { signal: cut.signal, store: watchedStore(store, { alter }) };
}
