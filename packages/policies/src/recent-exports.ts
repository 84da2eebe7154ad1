import type { Instance } from '@gantry/core';
import { GantryError, openExport } from '@gantry/core';
import type { Store } from '@gantry/transport';

/** One from further in the future was made by a host whose clock is wrong. */
const MAX_CLOCK_DIFFERENCE_MS = 5 * 60_000;

/**
 * The newest export of an instance in a store, if it began at `since` or later, has all disks of the instance, and all its files are there.
 *
 * @returns its reference; undefined if it must be exported (again)
 * @throws GantryError `STORE_*`; the signal's reason
 */
export async function recentExport(store: Store, { name, disks }: Instance, since: Date, signal: AbortSignal): Promise<string | undefined> {
  try {
    const found = await openExport(store, name, { signal });
    const { started, dumps } = found;
    const isRecent = started !== undefined && started >= since && started.getTime() <= Date.now() + MAX_CLOCK_DIFFERENCE_MS;
    if (!isRecent || dumps.length < disks.length) return undefined;
    await found.checkDumpsPresent({ signal });
    return found.reference;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GantryError && !error.code.startsWith('STORE_')) return undefined;
    if (error instanceof GantryError && error.code === 'STORE_NOT_FOUND') return undefined;
    throw error;
  }
}
