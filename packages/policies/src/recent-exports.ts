import type { Instance, Signers } from '@gantry/core';
import { findDamage, GantryError, openExport, refusalOf } from '@gantry/core';
import type { Store } from '@gantry/transport';

/** One from further in the future was made by a host whose clock is wrong. */
const MAX_CLOCK_DIFFERENCE_MS = 5 * 60_000;

export interface RecentOptions extends Signers {
  readonly since: Date;
  /** As operations get it: what verifications found may be there. */
  readonly stateDirectory: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * The newest export of an instance in a store, if it began at `since` or later, has all disks of the instance, all its files are
 * there, no verification found damage in it, and with allowed signers, its signature is not refused.
 *
 * @returns its reference; undefined if it must be exported (again)
 * @throws GantryError `STORE_*`; the signal's reason
 */
export async function recentExport(
  store: Store,
  { name, disks }: Pick<Instance, 'name' | 'disks'>,
  { since, stateDirectory, allowedSigners, requireSignature, signal }: RecentOptions,
): Promise<string | undefined> {
  try {
    const found = await openExport(store, name, { signal });
    const { started, dumps } = found;
    const isRecent = started !== undefined && started >= since && started.getTime() <= Date.now() + MAX_CLOCK_DIFFERENCE_MS;
    if (!isRecent || dumps.length < disks.length) return undefined;
    if ((await refusalOf(store, found, { allowedSigners, requireSignature, signal })) !== undefined) return undefined;
    await found.checkDumpsPresent({ signal });
    const damage = await findDamage({ store, found, stateDirectory, signal });
    return damage === undefined ? found.reference : undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GantryError && !error.code.startsWith('STORE_')) return undefined;
    if (error instanceof GantryError && error.code === 'STORE_NOT_FOUND') return undefined;
    throw error;
  }
}
