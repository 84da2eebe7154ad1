import type { CallOptions, ObjectInfo, OwnerState, PendingInfo, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { Claim, ClaimRecord, ClaimRequest } from './claim.ts';
import { claimExportId, claimOwner, claimText, parseClaim, readClaimText, takeOverClaim } from './claim.ts';
import { ClaimedPlace } from './claimed-place.ts';
import { isRetired } from './directories.ts';
import { examine } from './examine.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { CLAIM_FILE, MANIFEST_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { orNothing } from './or-nothing.ts';
import { lockPlace } from './place-lock.ts';
import { clearUnfinished, findUnfinished } from './unfinished.ts';
import { allowWriteOnly } from './write-only.ts';

/** The id that a copy keeps. */
export interface CopyId {
  readonly instance: string;
  readonly id: string;
}

/** What is in a store where a copy would go. */
export type PlaceState =
  /** `hidden`: this user may not look. */
  | { readonly state: 'free' | 'hidden' }
  /** With the text of a claim that a dead run left beside the complete export. */
  | { readonly state: 'export'; readonly manifest: Manifest; readonly deadClaim?: string | undefined }
  | { readonly state: 'unfinished'; readonly text: string; readonly claim: ClaimRecord | undefined; readonly owner: OwnerState };

/**
 * Looks at the place where a copy would go.
 *
 * @throws GantryError `EXPORT_EXISTS` for something that is neither a complete export nor one that is being written; StoreError
 */
export async function lookAtPlace(store: Store, { instance, id }: CopyId, options: CallOptions): Promise<PlaceState> {
  const reference = formatExportReference(instance, id);
  const prefix = exportPrefix(instance, id);
  const files = await allowWriteOnly(store, undefined, () => filesBelow(store, prefix, options));
  if (files === undefined) return { state: 'hidden' };
  if (files.size === 0) return { state: 'free' };
  const text = files.has(CLAIM_FILE) ? await readClaimText(store, prefix, options) : undefined;
  const claim = parseClaim(text);
  const owner = await claimOwner(claim);
  if (!files.has(MANIFEST_FILE)) {
    if (text === undefined || isRetired(files)) throw inTheWay(store, reference, 'files of an export that was removed are still there');
    return { state: 'unfinished', text, claim, owner };
  }
  const found = await examine(store, { instance, id, files }, options);
  if (found.state === 'gantry') return { state: 'export', manifest: found.manifest, deadClaim: owner === 'dead' ? text : undefined };
  throw inTheWay(store, reference, found.state === 'damaged' ? found.error.message : 'there are other files in its place');
}

/** By their names. */
async function filesBelow(store: Store, prefix: string, options: CallOptions): Promise<Map<string, ObjectInfo>> {
  const files = new Map<string, ObjectInfo>();
  for await (const info of orNothing(store.list(prefix, options))) files.set(info.key.slice(prefix.length), info);
  return files;
}

export interface ClaimCopyOptions extends CallOptions {
  /** Called with what the user should know. */
  readonly warn: (message: string) => void;
}

/** What is known of a place before it is claimed. */
export type UnclaimedPlace = Exclude<PlaceState, { readonly state: 'export' }>;

/**
 * Claims the place for a copy. What dead runs left there is cleared.
 *
 * @throws GantryError `BUSY` if another run may be at work there; StoreError
 */
export async function claimCopy(
  store: Store,
  found: UnclaimedPlace,
  request: ClaimRequest & Pick<CopyId, 'id'>,
  options: ClaimCopyOptions,
): Promise<Claim> {
  const { instance, id } = request;
  const reference = formatExportReference(instance, id);
  if (found.state === 'unfinished') {
    if (found.owner !== 'dead') throw busy(store, reference, claimText(found.claim, found.owner));
    await clearDead(store, instance, reference, options);
  }
  const claim = await claimExportId(store, id, request, options);
  if (claim === undefined) throw busy(store, reference, 'another run has taken its place');
  return claim;
}

/**
 * Takes over what a dead copy of the same manifest (`request.copies`) left in a place; undefined if there is no such thing.
 *
 * @throws GantryError `BUSY` if another run clears it or takes it over at this moment; StoreError
 */
export async function continueCopy(
  store: Store,
  found: UnclaimedPlace,
  request: ClaimRequest & Pick<CopyId, 'id'>,
  options: ClaimCopyOptions,
): Promise<ClaimedPlace | undefined> {
  const { instance, id, copies } = request;
  if (found.state !== 'unfinished' || found.owner !== 'dead') return undefined;
  const { text, claim } = found;
  if (copies === undefined || claim?.copies !== copies) return undefined;
  await using lock = await lockPlace({ instance, id });
  if (lock === undefined) {
    throw busy(store, formatExportReference(instance, id), 'another run clears or continues what a killed one left there');
  }
  const taken = await takeOverClaim(store, id, { dead: text, request }, options).catch((error: unknown) => {
    if (isStoreError(error, 'unsupported')) return undefined;
    throw error;
  });
  if (taken === undefined) return undefined;
  const prefix = exportPrefix(instance, id);
  const arrived = new Map<string, number>();
  for (const [name, { size }] of await filesBelow(store, prefix, options)) if (name !== CLAIM_FILE) arrived.set(name, size);
  const unfinished = await unfinishedOf(store, prefix, request.dumps ?? [], options);
  return new ClaimedPlace(store, { instance, claim: taken, arrived, unfinished, warn: options.warn });
}

/** Of each object, the unfinished write of a dead run that has most of it; the others are cleared. */
async function unfinishedOf(
  store: Store,
  prefix: string,
  names: readonly string[],
  { signal }: CallOptions,
): Promise<ReadonlyMap<string, string>> {
  const keys = names.map((name) => `${prefix}${name}`);
  const best = new Map<string, PendingInfo>();
  const others: PendingInfo[] = [];
  for await (const info of store.pending(prefix, { signal, keys })) {
    if (info.owner === 'alive') continue;
    const name = info.key.slice(prefix.length);
    const known = best.get(name);
    const isBetter = store.capabilities.resumableWrite && info.durableBytes > (known?.durableBytes ?? 0);
    if (isBetter) best.set(name, info);
    if (known !== undefined || !isBetter) others.push(isBetter && known !== undefined ? known : info);
  }
  await store.clear(
    others.map(({ token }) => token),
    { signal, keys: others.map(({ key }) => key) },
  );
  return new Map([...best].map(([name, { token }]) => [name, token]));
}

async function clearDead(store: Store, instance: string, reference: string, { signal, warn }: ClaimCopyOptions): Promise<void> {
  for (const unfinished of await findUnfinished(store, { instance, signal })) {
    if (unfinished.name !== reference || unfinished.owner !== 'dead') continue;
    if ((await clearUnfinished(store, unfinished, { signal })) !== 'cleared') continue;
    warn(`cleared what a killed run left in the store: ${unfinished.name}, ${unfinished.text}`);
  }
}

function inTheWay(store: Store, reference: string, why: string): GantryError {
  return new GantryError('EXPORT_EXISTS', {
    message: `cannot copy ${reference} to ${store.address}: ${why}`,
    hint: 'A copy keeps its id, and replaces nothing: gantry remove removes what is there, once it is not needed.',
  });
}

function busy(store: Store, reference: string, why: string): GantryError {
  return new GantryError('BUSY', {
    message: `${reference} is being written in ${store.address}: ${why}`,
    hint: `Wait until it ends. Once no process writes it: gantry clean ${quoteWord(store.address)} --export ${quoteWord(reference)}`,
  });
}

/** What a copy fails with if another export has its id. */
export function otherExport(store: Store, reference: string): GantryError {
  return inTheWay(store, reference, 'another export has this id there');
}
