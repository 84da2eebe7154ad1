import type { CallOptions, Store } from '@gantry/transport';
import type { ProtectedExport, ProtectionGap } from '../exports/protection.ts';
import { describeEnded, describeGap, Protections } from '../exports/protection.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { Reporter } from '../report/reporter.ts';

/** What the service does not protect of the exports of a store. */
export class ProtectionGaps {
  readonly #store: Store;
  readonly #reporter: Reporter;
  readonly #protections: Protections;
  /** What is said of all of them together. */
  readonly #gaps: ProtectionGap[] = [];

  constructor(store: Store, reporter: Reporter) {
    this.#store = store;
    this.#reporter = reporter;
    this.#protections = new Protections(store);
  }

  /** @throws GantryError `STORE_*` */
  async lookFor(found: ProtectedExport, options: CallOptions): Promise<void> {
    const gap = await withStoreErrors(this.#store.address, () => this.#protections.gapOf(found, options));
    if (gap?.kind === 'none') this.#reporter.warn(describeGap(gap, this.#store.address));
    else if (gap !== undefined) this.#gaps.push(gap);
  }

  /** Once for the store: many are older than their locks, and who may not see one lock sees none. */
  warn(): void {
    const ended = this.#gaps.flatMap((gap) => (gap.kind === 'ended' ? [gap.until] : [])).toSorted((a, b) => a.getTime() - b.getTime());
    const [first] = ended;
    if (first !== undefined) this.#reporter.warn(describeEnded(ended.length, first));
    const unknown = this.#gaps.find(({ kind }) => kind === 'unknown');
    if (unknown !== undefined) this.#reporter.warn(describeGap(unknown, this.#store.address));
  }
}
