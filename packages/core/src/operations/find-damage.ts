import type { CallOptions, Store } from '@gantry/transport';
import type { StoredExport } from '../exports/open-export.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { damageFound, lastVerification } from '../exports/verification.ts';
import { VerificationRecords } from '../exports/verification-records.ts';

export interface FindDamageRequest extends CallOptions {
  readonly store: Store;
  /** An export in it. */
  readonly found: StoredExport;
  /** Where verifications of stores that cannot be written are remembered. */
  readonly stateDirectory?: string | undefined;
}

/**
 * Why the last verification of one export makes it a damaged one, as a clause; undefined if none does. Reads what is remembered of the
 * instances whose dumps it needs, and none of the export itself.
 *
 * @throws GantryError `STORE_*`; the reason of the signal
 */
export async function findDamage({ store, found, stateDirectory, signal }: FindDamageRequest): Promise<string | undefined> {
  const records = new VerificationRecords(store, stateDirectory, { instancesAtOnce: false });
  const asking = (): ReturnType<typeof lastVerification> => lastVerification(found, (name) => records.of(name, { signal }));
  return damageFound(await withStoreErrors(store.address, asking));
}
