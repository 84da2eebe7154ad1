import { randomUUID } from 'node:crypto';
import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError, StoreError } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import { TOOL } from '../report/version.ts';
import type { Claim, ClaimRequest } from './claim.ts';
import { claimBrought, claimOwner, claimText, parseClaim, readClaimText, removeClaim, takeOverClaim } from './claim.ts';
import { readDirectory } from './directories.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import type { NeededFile, PlaceContents } from './hidden-exports.ts';
import { ownHidden, readNeeded, readPlace } from './hidden-exports.ts';
import { BROUGHT_PART_FILE, MANIFEST_FILE, mayBePack, REMOVED_FILE, SEALED_PART_FILE, SUMS_FILE, unusedMark } from './layout.ts';
import { openExport } from './open-export.ts';
import { lockPlace } from './place-lock.ts';
import type { Place } from './removed.ts';
import { takeBackRemoved, writeRemoved } from './removed.ts';

/** Cleaning up has a time of its own, since it must run although the operation was ended. */
const CLEANUP_MS = 30_000;
/** Claims of runs that bring exports back begin with it: a later one takes over what a killed one left. */
const RUN_ID_PREFIX = 'gantry-undelete-';

export interface BringBackOptions extends CallOptions {
  /** Called with what the user should know. */
  readonly warn: (message: string) => void;
}

/** One export, and the run that brings it back. */
interface Return {
  readonly store: Store;
  readonly place: Place;
  readonly reference: string;
  readonly runId: string;
  readonly options: BringBackOptions;
}

/**
 * Brings back an export: its claim, which names the exports whose dumps it needs, then these dumps and its own files, its manifest last.
 * What says that it was removed goes after that, then the claim (docs/decisions/0158). Where something that it needs is gone for good,
 * its manifest stays away. An interrupted call can be repeated.
 *
 * @throws GantryError `BUSY` where another run works on it, or a dump that it needs is marked to be deleted; `MANIFEST_DAMAGED`,
 *   `DUMP_MISSING`, `PACK_MISSING` and others of damage where the service does not have all of it any more; `STORE_*`; StoreError
 */
export async function bringBack(store: Store, place: Place, options: BringBackOptions): Promise<void> {
  const reference = formatExportReference(place.instance, place.id);
  const self: Return = { store, place, reference, runId: `${RUN_ID_PREFIX}${randomUUID()}`, options };
  const before = await readPlace(store, place, options);
  const dead = await assertUnclaimed(self);
  await makeRetired(self, before, place);
  const sums = before.hidden.get(SUMS_FILE);
  if (sums !== undefined) await store.unhide?.([sums], options);
  const needed = await readNeeded(store, place, options);
  const claim = await claimPlace(self, dead, needed);
  try {
    await bringBackFiles(self, needed, claim);
  } finally {
    await release(self, claim);
  }
}

/**
 * @returns the text of the claim of a killed run that was bringing it back
 * @throws GantryError `BUSY` if any other claim is there
 */
async function assertUnclaimed({ store, place, reference, options }: Return): Promise<string | undefined> {
  const text = await readClaimText(store, exportPrefix(place.instance, place.id), options);
  if (text === undefined) return undefined;
  const claim = parseClaim(text);
  const owner = await claimOwner(claim);
  if (owner === 'dead' && claim?.runId.startsWith(RUN_ID_PREFIX) === true) return text;
  throw claimed(store, reference, claimText(claim, owner));
}

/**
 * Says anew of a place without a manifest that its export was removed: its dumps do not seem to be lost, `clean` deletes nothing in it after
 * a kill, and a prune that looked at the place before sees that something has happened there since (`isSameRemoved`): what comes back is the
 * very object that was there then.
 */
async function makeRetired({ store, runId, options }: Return, { files }: Pick<PlaceContents, 'files'>, place: Place): Promise<void> {
  if (files.has(MANIFEST_FILE) || (await writeRemoved(store, place, runId, options))) return;
  throw new StoreError('full', { message: `cannot write ${REMOVED_FILE} of ${formatExportReference(place.instance, place.id)}` });
}

async function claimPlace(self: Return, dead: string | undefined, needed: readonly NeededFile[]): Promise<Claim> {
  const { store, place, reference, runId, options } = self;
  const parents = [...new Set(foreign(place, needed).map(({ instance, id }) => formatExportReference(instance, id)))];
  const request: ClaimRequest = { instance: place.instance, started: new Date(), runId, tool: TOOL, parents };
  await using lock = dead === undefined ? undefined : await lockPlace(place);
  const isLocked = dead === undefined || lock !== undefined;
  const claim = !isLocked
    ? undefined
    : dead === undefined
      ? await claimBrought(store, place.id, request, { ...options, ifExists: 'replace' })
      : await takeOverClaim(store, place.id, { dead, request }, options);
  if (claim === undefined) throw claimed(store, reference, 'another run has just claimed it');
  return claim;
}

async function bringBackFiles(self: Return, needed: readonly NeededFile[], claim: Claim): Promise<void> {
  const { store, place, reference, runId, options } = self;
  await assertUnmarked(self, needed);
  for (const packs of Map.groupBy(foreign(place, needed), ownerOf).values()) await bringBackPacks(self, packs);
  const contents = await readPlace(store, place, options);
  const manifest = contents.hidden.get(MANIFEST_FILE);
  await store.unhide?.(
    ownHidden(place, contents, needed).filter((object) => object !== manifest),
    options,
  );
  // Marks go after their packs.
  await assertUnmarked(self, needed);
  await assertThere(self, needed);
  await assertHeld(self, claim);
  if (manifest !== undefined) await store.unhide?.([manifest], options);
  await assertHeld(self, claim);
  await (await openExport(store, reference, options)).checkDumpsPresent(options);
  const { files } = await readDirectory(store, place, options);
  if (files.has(MANIFEST_FILE) && files.has(REMOVED_FILE)) await takeBackRemoved(store, place, runId, options);
}

/** Dumps of one other export, and what has its key: that went with the last of them. */
async function bringBackPacks(self: Return, packs: readonly NeededFile[]): Promise<void> {
  const [owner] = packs;
  if (owner === undefined) return;
  const { files, hidden } = await readPlace(self.store, owner, self.options);
  const gone = packs.flatMap(({ name }) => (files.has(name) ? [] : (hidden.get(name) ?? [])));
  if (gone.length === 0) return;
  await makeRetired(self, { files }, owner);
  const part = [SEALED_PART_FILE, BROUGHT_PART_FILE].find((name) => files.has(name) || hidden.has(name));
  const key = part === undefined || files.has(part) || files.has(MANIFEST_FILE) ? undefined : hidden.get(part);
  await self.store.unhide?.(key === undefined ? gone : [...gone, key], self.options);
}

/**
 * A run that removes dumps marks them, and then looks for claims: one that was marked before the claim may be deleted at any time.
 *
 * @throws GantryError `BUSY`
 */
async function assertUnmarked(self: Return, needed: readonly NeededFile[]): Promise<void> {
  const { store, reference } = self;
  const marked = await findNeeded(self, needed, ({ name }, files) => files.has(unusedMark(name)));
  if (marked === undefined) return;
  throw new GantryError('BUSY', {
    message: `${reference} is not brought back: ${marked.key} is marked to be deleted, and any run that prunes may do so now`,
    hint: `Let that happen, then repeat this: gantry prune ${quoteWord(store.address)} deletes what is marked, and the service still has it.`,
  });
}

/** @throws GantryError `MANIFEST_DAMAGED`, `DUMP_MISSING`, `PACK_MISSING` for a file that is not there */
async function assertThere(self: Return, needed: readonly NeededFile[]): Promise<void> {
  const { place, reference } = self;
  const gone = await findNeeded(self, needed, ({ name }, files) => !files.has(name));
  if (gone === undefined) return;
  const code = foreign(place, [gone]).length > 0 ? 'PACK_MISSING' : mayBePack(gone.name) ? 'DUMP_MISSING' : 'MANIFEST_DAMAGED';
  throw new GantryError(code, { message: `${reference} needs ${gone.key}, which the service does not have any more` });
}

async function findNeeded(
  { store, options }: Return,
  needed: readonly NeededFile[],
  isFound: (file: NeededFile, files: ReadonlyMap<string, unknown>) => boolean,
): Promise<NeededFile | undefined> {
  for (const group of Map.groupBy(needed, ownerOf).values()) {
    const [first] = group;
    if (first === undefined) continue;
    const { files } = await readDirectory(store, first, options);
    const found = group.find((file) => isFound(file, files));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Another run may have taken this one for dead, or has removed the export meanwhile. @throws GantryError `BUSY` */
async function assertHeld({ store, place, reference, options }: Return, claim: Claim): Promise<void> {
  if ((await readClaimText(store, exportPrefix(place.instance, place.id), options)) === claim.text) return;
  throw claimed(store, reference, 'another run has taken its claim away');
}

/** Says what could not be done instead of failing. */
async function release({ store, place, reference, options }: Return, claim: Claim): Promise<void> {
  try {
    await removeClaim(store, exportPrefix(place.instance, place.id), claim.text, { signal: AbortSignal.timeout(CLEANUP_MS) });
  } catch (error) {
    if (!isStoreError(error)) throw error;
    options.warn(`could not remove the claim of ${reference} in ${store.address}, which gantry clean removes: ${errorText(error)}`);
  }
}

function foreign({ instance, id }: Place, needed: readonly NeededFile[]): readonly NeededFile[] {
  return needed.filter((file) => file.instance !== instance || file.id !== id);
}

function ownerOf({ instance, id }: Place): string {
  return exportPrefix(instance, id);
}

function claimed(store: Store, reference: string, why: string): GantryError {
  return new GantryError('BUSY', {
    message: `another run works on ${reference} in ${store.address}: ${why}`,
    hint: `Wait until it ends. Once no process works on it: gantry clean ${quoteWord(store.address)} --export ${quoteWord(reference)}`,
  });
}
