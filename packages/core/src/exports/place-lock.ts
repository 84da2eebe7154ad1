import { tryHostLock } from '../system/host-lock.ts';
import { formatExportReference } from './export-id.ts';
import type { Place } from './removed.ts';

/**
 * To be held while what a dead run left in a place is cleared, kept or taken over: of two that find it at once, one must not delete what
 * the other builds on. A run is only known to be dead on its own host, so a lock of the host is enough. Its name is that of the place
 * alone, since one store can have several addresses.
 *
 * @returns undefined if another holds it
 */
export function lockPlace({ instance, id }: Place): Promise<AsyncDisposable | undefined> {
  return tryHostLock(`what is left of ${formatExportReference(instance, id)}`);
}
