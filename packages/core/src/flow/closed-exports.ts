import type { Store } from '@gantry/transport';
import { readDirectory } from '../exports/directories.ts';
import { openFound } from '../exports/open-export.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { VerificationRecords } from '../exports/verification-records.ts';
import { GantryError } from '../report/errors.ts';
import type { VerifiableItem } from './verifiable.ts';
import { timesOf } from './verifiable.ts';

/** What the identities of a run that verifies a store do not open, and whether they open anything. */
export class ClosedExports {
  readonly #store: Store;
  readonly #records: VerificationRecords;
  #count = 0;
  #hasOpened = false;

  constructor(store: Store, records: VerificationRecords) {
    this.#store = store;
    this.#records = records;
  }

  /** How many none of the identities opened. */
  get count(): number {
    return this.#count;
  }

  add(): void {
    this.#count += 1;
  }

  /** One was opened. */
  noteOpened(): void {
    this.#hasOpened = true;
  }

  /**
   * Puts one among those that wait, with the turn that it has as it is stored. That it is closed is not remembered: other hosts open it, and
   * their turns are in the same records.
   *
   * @param items by their turns; those behind `item` have not started
   */
  async queue(items: VerifiableItem[], item: VerifiableItem, signal: AbortSignal): Promise<void> {
    const closed = { ...item, isClosed: true };
    const times = await timesOf(closed, this.#records, { depth: 'frames', signal });
    const at = items.indexOf(item) + 1;
    const later = items.slice(at).findIndex(({ turnAt }) => turnAt > times.turnAt);
    items.splice(later < 0 ? items.length : at + later, 0, { ...closed, ...times });
  }

  /**
   * Whether there were identities, and none opens any of the sealed exports.
   *
   * @param left for later runs: they are looked at just for that
   * @throws GantryError `STORE_UNAVAILABLE`
   */
  async areAll(left: readonly VerifiableItem[], signal: AbortSignal): Promise<boolean> {
    if (this.#count === 0 || this.#hasOpened) return false;
    for (const item of left) if (item.isSealed && !item.isClosed && (await this.#opens(item, signal))) return false;
    return true;
  }

  async #opens(item: VerifiableItem, signal: AbortSignal): Promise<boolean> {
    try {
      const directory = await withStoreErrors(this.#store.address, () => readDirectory(this.#store, item, { signal }));
      const found = await openFound(this.#store, { directory, warnings: [] }, { signal });
      return found.mismatch === undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof GantryError) || error.code === 'STORE_UNAVAILABLE') throw error;
      return false;
    }
  }
}
