import type { CallOptions, Store } from '@gantry/transport';
import { packKey, packsOfOthers } from '../exports/export-objects.ts';
import type { ListedDirectory } from '../exports/list-exports.ts';
import { listWithManifests } from '../exports/list-exports.ts';
import type { PackRecord } from '../exports/packs.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import type { RememberedDepth } from '../exports/verification.ts';
import { REMEMBERED_DEPTHS } from '../exports/verification.ts';
import type { VerificationRecords } from '../exports/verification-records.ts';
import { withStoreErrors } from '../exports/store-errors.ts';

/** Something in a store that is verified as one: what is in the directory of one export. */
export interface VerifiableItem {
  readonly instance: string;
  readonly id: string;
  /** `packs`: the export was removed, and its packs are kept for others. */
  readonly kind: 'export' | 'packs';
  /** What is stored there, bytes. */
  readonly bytes: number;
  /** When it was last verified at the depth asked for, ms since 1970; 0 if never. */
  readonly verifiedAt: number;
}

/** An export whose files are not as its manifest says, by their names and sizes alone. */
export interface DamagedAtSight {
  readonly instance: string;
  readonly id: string;
  readonly code: GantryErrorCode;
  readonly reason: string;
}

/** What there is to verify in a store. Bounded by the number of exports and packs, not by their sizes. */
export interface StoreSurvey {
  readonly items: readonly VerifiableItem[];
  readonly damaged: readonly DamagedAtSight[];
  /** Exports that are being made, or were never finished. */
  readonly unfinished: number;
  /** All bytes of the exports, and of what is kept of removed ones. */
  readonly storedBytes: number;
  /** What manifests say of packs in the directories of other exports, by their keys. */
  readonly claims: ReadonlyMap<string, readonly PackRecord[]>;
}

/**
 * Lists a store, reads every manifest, and finds what is damaged by names and sizes.
 *
 * @param depth whose last verification counts; undefined where none does
 * @throws GantryError `STORE_*`
 */
export async function findVerifiable(
  store: Store,
  records: VerificationRecords,
  { depth, signal }: CallOptions & { readonly depth: RememberedDepth | undefined },
): Promise<StoreSurvey> {
  const surveying = new Surveying(records, depth);
  for await (const found of listWithManifests(store, { signal })) {
    await withStoreErrors(store.address, () => surveying.takeInstance(found, { signal }));
  }
  return surveying;
}

class Surveying implements StoreSurvey {
  readonly items: VerifiableItem[] = [];
  readonly damaged: DamagedAtSight[] = [];
  readonly claims = new Map<string, PackRecord[]>();
  unfinished = 0;
  storedBytes = 0;
  readonly #records: VerificationRecords;
  readonly #depth: RememberedDepth | undefined;

  constructor(records: VerificationRecords, depth: RememberedDepth | undefined) {
    this.#records = records;
    this.#depth = depth;
  }

  async takeInstance(found: readonly ListedDirectory[], options: CallOptions): Promise<void> {
    const [first] = found;
    if (first === undefined) return;
    await this.#records.keepOnly(first.directory.instance, new Set(found.map(({ directory }) => directory.id)), options);
    for (const each of found) await this.#take(each, options);
  }

  async #take(found: ListedDirectory, options: CallOptions): Promise<void> {
    const { instance, id, files } = found.directory;
    let bytes = 0;
    for (const { size } of files.values()) bytes += size;
    this.storedBytes += bytes;
    const kind = found.kind === 'export' ? 'export' : 'packs';
    if (found.kind === 'export') {
      const { state, code = 'MANIFEST_DAMAGED', reason = '' } = found.summary;
      if (state === 'unfinished') this.unfinished += 1;
      if (state === 'damaged') this.damaged.push({ instance, id, code, reason });
      if (state !== 'complete') return;
      for (const pack of found.manifest === undefined ? [] : packsOfOthers(found.manifest)) this.#claim(packKey(pack), pack);
    }
    this.items.push({ instance, id, kind, bytes, verifiedAt: await this.#verifiedAt(instance, id, options) });
  }

  #claim(key: string, pack: PackRecord): void {
    const known = this.claims.get(key);
    if (known === undefined) this.claims.set(key, [pack]);
    else if (!known.some(({ sha256 }) => sha256 === pack.sha256)) known.push(pack);
  }

  async #verifiedAt(instance: string, id: string, options: CallOptions): Promise<number> {
    if (this.#depth === undefined) return 0;
    const known = (await this.#records.of(instance, options)).get(id) ?? {};
    // A deeper verification has done all that a less deep one does.
    const counted = REMEMBERED_DEPTHS.slice(REMEMBERED_DEPTHS.indexOf(this.#depth), REMEMBERED_DEPTHS.indexOf('rehearsal') + 1);
    return Math.max(0, ...counted.flatMap((depth) => known[depth]?.at ?? []).map((at) => Date.parse(at)));
  }
}
