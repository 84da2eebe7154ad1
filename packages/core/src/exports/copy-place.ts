import type { CallOptions, ObjectInfo, OwnerState, PendingInfo, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { Claim, ClaimRecord, ClaimRequest } from './claim.ts';
import { claimBrought, claimExportId, claimOwner, claimText, parseClaim, readClaimText, takeOverClaim } from './claim.ts';
import { ClaimedPlace } from './claimed-place.ts';
import { isBrought, isRetired, readDirectory } from './directories.ts';
import { examine } from './examine.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { BROUGHT_FILES, CLAIM_FILE, CUT_OFF_FILE, isUnusedMark, MANIFEST_FILE, REMOVED_FILE } from './layout.ts';
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
  /** Packs of the export alone: copies of others brought them. */
  | { readonly state: 'brought' }
  /** `brought`: its packs were there before, and others may refer to them. */
  | {
      readonly state: 'unfinished';
      readonly text: string;
      readonly claim: ClaimRecord | undefined;
      readonly owner: OwnerState;
      readonly brought: boolean;
    };

/** Whether a place has packs to which others may refer. */
export function hasBrought(found: PlaceState): boolean {
  return found.state === 'brought' || (found.state === 'unfinished' && found.brought);
}

interface LookOptions extends CallOptions {
  /** Whether the copy can complete an export of which packs alone are there. */
  readonly canComplete?: boolean | undefined;
}

/**
 * Looks at the place where a copy would go.
 *
 * @throws GantryError `EXPORT_EXISTS` for something that is neither a complete export nor one that is being written; StoreError
 */
export async function lookAtPlace(store: Store, { instance, id }: CopyId, options: LookOptions): Promise<PlaceState> {
  const reference = formatExportReference(instance, id);
  const prefix = exportPrefix(instance, id);
  const files = await allowWriteOnly(store, undefined, () => filesBelow(store, prefix, options));
  if (files === undefined) return { state: 'hidden' };
  if (files.size === 0) return { state: 'free' };
  const text = files.has(CLAIM_FILE) ? await readClaimText(store, prefix, options) : undefined;
  const claim = parseClaim(text);
  const owner = await claimOwner(claim);
  if (!files.has(MANIFEST_FILE)) {
    if (options.canComplete === true && isBrought({ files })) return { state: 'brought' };
    const brought = isRetired(files);
    const canGoOn = !brought || (options.canComplete === true && isBeingCompleted(files, claim));
    if (text === undefined || !canGoOn) throw inTheWay(store, reference, REMAINS);
    return { state: 'unfinished', text, claim, owner, brought };
  }
  const found = await examine(store, { instance, id, files }, options);
  if (found.state === 'gantry') return { state: 'export', manifest: found.manifest, deadClaim: owner === 'dead' ? text : undefined };
  throw inTheWay(store, reference, found.state === 'damaged' ? found.error.message : 'there are other files in its place');
}

/** Whether a copy has claimed a place in which packs were already. */
function isBeingCompleted(files: ReadonlyMap<string, ObjectInfo>, claim: ClaimRecord | undefined): boolean {
  return claim?.copies !== undefined && !files.has(CUT_OFF_FILE) && ![...files.keys()].some(isUnusedMark);
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

/** @throws GantryError `BUSY` if another run may be at work there */
export function assertClaimable(store: Store, found: UnclaimedPlace, reference: string): void {
  if (found.state === 'unfinished' && found.owner !== 'dead') throw busy(store, reference, claimText(found.claim, found.owner));
}

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
  assertClaimable(store, found, reference);
  if (found.state === 'unfinished') await clearDead(store, instance, reference, options);
  const claim = await (hasBrought(found) ? claimAgain(store, id, request, options) : claimExportId(store, id, request, options));
  if (claim === undefined) throw busy(store, reference, 'another run has taken its place');
  return claim;
}

/** Claims a place in which packs are. @throws GantryError `EXPORT_EXISTS` if there is more by now */
async function claimAgain(store: Store, id: string, request: ClaimRequest, options: CallOptions): Promise<Claim | undefined> {
  const { instance } = request;
  if (!isBrought(await readDirectory(store, { instance, id }, options)))
    throw inTheWay(store, formatExportReference(instance, id), REMAINS);
  return await claimBrought(store, id, request, options);
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
  const { text, claim, brought } = found;
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
  for (const [name, { size }] of await filesBelow(store, prefix, options))
    if (name !== CLAIM_FILE && !(brought ? BROUGHT_FILES : [REMOVED_FILE]).includes(name)) arrived.set(name, size);
  const unfinished = await unfinishedOf(store, prefix, request.dumps ?? [], options);
  const held = brought ? { ...taken, alone: false } : taken;
  return new ClaimedPlace(store, { instance, claim: held, arrived, unfinished, brought, warn: options.warn });
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

const REMAINS = 'files of an export that was removed are still there';

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
