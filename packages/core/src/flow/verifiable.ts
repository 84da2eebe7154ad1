import type { CallOptions, Store } from '@gantry/transport';
import { exportPrefix } from '../exports/export-id.ts';
import { packKey, packsOfOthers } from '../exports/export-objects.ts';
import type { ListedDirectory } from '../exports/list-exports.ts';
import { listWithManifests } from '../exports/list-exports.ts';
import type { PackRecord } from '../exports/packs.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import type { RememberedDepth } from '../exports/verification.ts';
import { COVERED_BY } from '../exports/verification.ts';
import { opensSealed } from '../exports/unsealing.ts';
import type { VerificationRecords } from '../exports/verification-records.ts';
import { withStoreErrors } from '../exports/store-errors.ts';

/** Something in a store that is verified as one: what is in the directory of one export. */
export interface VerifiableItem {
  readonly instance: string;
  readonly id: string;
  /** `packs`: the export was removed, or is not complete, and others refer to its packs. */
  readonly kind: 'export' | 'packs';
  readonly isSealed: boolean;
  /** It is sealed, and there is no identity that opens it, as far as that is known: it is verified as it is stored. */
  readonly isClosed: boolean;
  /** An export of Ganeti does not say enough of its instance for a rehearsal. */
  readonly canBeRehearsed: boolean;
  /** What is stored there, bytes. */
  readonly bytes: number;
  /** When it was last verified at the depth asked for, ms since 1970; 0 if never. */
  readonly verifiedAt: number;
  /** When it last had its turn: it was verified, or that was tried in vain. Ms since 1970; 0 if never. */
  readonly turnAt: number;
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
  const surveying = new Surveying(records, depth, opensSealed(store));
  for await (const found of listWithManifests(store, { signal })) {
    await withStoreErrors(store.address, () => surveying.takeInstance(found, { signal }));
  }
  await withStoreErrors(store.address, () => surveying.takeReferredTo({ signal }));
  return surveying;
}

/** At which depth something is verified: of packs alone, and of what cannot be opened, there are no more than digests. */
export function depthOf({ kind, isClosed }: Pick<VerifiableItem, 'kind' | 'isClosed'>, depth: RememberedDepth): RememberedDepth {
  return kind === 'packs' || isClosed ? 'stored' : depth;
}

class Surveying implements StoreSurvey {
  readonly items: VerifiableItem[] = [];
  readonly damaged: DamagedAtSight[] = [];
  readonly claims = new Map<string, PackRecord[]>();
  unfinished = 0;
  storedBytes = 0;
  readonly #records: VerificationRecords;
  readonly #depth: RememberedDepth | undefined;
  readonly #opensSealed: boolean;
  /** Directories that are not verified as exports: incomplete ones. */
  readonly #withheld: Omit<VerifiableItem, 'verifiedAt' | 'turnAt'>[] = [];

  constructor(records: VerificationRecords, depth: RememberedDepth | undefined, opensSealed: boolean) {
    this.#records = records;
    this.#depth = depth;
    this.#opensSealed = opensSealed;
  }

  async takeInstance(found: readonly ListedDirectory[], options: CallOptions): Promise<void> {
    const [first] = found;
    if (first === undefined) return;
    await this.#records.keepOnly(first.directory.instance, new Set(found.map(({ directory }) => directory.id)), options);
    for (const each of found) await this.#take(each, options);
  }

  /** The packs in directories of incomplete exports, to which other exports refer: to be called when all manifests were read. */
  async takeReferredTo(options: CallOptions): Promise<void> {
    const owners = new Set(
      [...this.claims.values()].flatMap(([pack]) => (pack === undefined ? [] : exportPrefix(pack.instance, pack.exportId))),
    );
    for (const item of this.#withheld) if (owners.has(exportPrefix(item.instance, item.id))) await this.#add(item, options);
  }

  async #take(found: ListedDirectory, options: CallOptions): Promise<void> {
    const { instance, id, files } = found.directory;
    let bytes = 0;
    for (const { size } of files.values()) bytes += size;
    this.storedBytes += bytes;
    const packs = { instance, id, kind: 'packs', isSealed: false, isClosed: false, canBeRehearsed: false, bytes } as const;
    if (found.kind === 'removed') {
      await this.#add(packs, options);
      return;
    }
    const { state, origin, code = 'MANIFEST_DAMAGED', reason = '' } = found.summary;
    if (state === 'unfinished') this.unfinished += 1;
    if (state === 'damaged') this.damaged.push({ instance, id, code, reason });
    for (const pack of found.manifest === undefined ? [] : packsOfOthers(found.manifest)) this.#claim(packKey(pack), pack);
    const isSealed = found.manifest?.sealed !== undefined;
    const isClosed = isSealed && !this.#opensSealed;
    const canBeRehearsed = origin === 'gantry' && !isClosed;
    if (state === 'complete') await this.#add({ ...packs, kind: 'export', isSealed, isClosed, canBeRehearsed }, options);
    else this.#withheld.push(packs);
  }

  async #add(item: Omit<VerifiableItem, 'verifiedAt' | 'turnAt'>, options: CallOptions): Promise<void> {
    this.items.push({ ...item, ...(await timesOf(item, this.#records, { ...options, depth: this.#depth })) });
  }

  #claim(key: string, pack: PackRecord): void {
    const known = this.claims.get(key);
    if (known === undefined) this.claims.set(key, [pack]);
    else if (!known.some(({ sha256 }) => sha256 === pack.sha256)) known.push(pack);
  }
}

/** When something had its turn. @param depth that was asked for; undefined where none counts @throws StoreError */
export async function timesOf(
  { instance, id, ...item }: Pick<VerifiableItem, 'instance' | 'id' | 'kind' | 'isClosed'>,
  records: VerificationRecords,
  { depth: wanted, ...options }: CallOptions & { readonly depth: RememberedDepth | undefined },
): Promise<Pick<VerifiableItem, 'verifiedAt' | 'turnAt'>> {
  if (wanted === undefined) return { verifiedAt: 0, turnAt: 0 };
  const depth = depthOf(item, wanted);
  const known = (await records.of(instance, options)).get(id) ?? {};
  const verifiedAt = Math.max(0, ...COVERED_BY[depth].flatMap((each) => known[each]?.at ?? []).map((at) => Date.parse(at)));
  return { verifiedAt, turnAt: Math.max(verifiedAt, Date.parse(known.tried?.[depth] ?? new Date(0).toISOString())) };
}
