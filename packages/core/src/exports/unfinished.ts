import type { CallOptions, ObjectInfo, OwnerState, PendingInfo, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { claimOwner, claimText, parseClaim, readClaimText, removeClaim } from './claim.ts';
import { isRetired, placeOf, readDirectories } from './directories.ts';
import { exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { BROUGHT_FILES, CLAIM_FILE, isUnusedMark, MANIFEST_FILE, mayBePack } from './layout.ts';
import { namesBelow } from './names-below.ts';
import { lockPlace } from './place-lock.ts';
import { withStoreErrors } from './store-errors.ts';
import { assertStoreFormat } from './store-marker.ts';

/** What an export that was never finished has left in a store. */
export interface UnfinishedExport {
  /** `INSTANCE@EXPORT-ID`; for a single write outside the layout, its key. */
  readonly name: string;
  /** `unknown`: it may be running on another host. */
  readonly owner: OwnerState;
  /** Which process, and since when, for a human. */
  readonly text: string;
  /** The export is complete: what was left behind can be removed, and the export stays. */
  readonly complete: boolean;
  /** The export was removed: what was left behind can go, and its packs stay for others. */
  readonly removed: boolean;
  /** The text of its claim; absent if there is none, or it is not text. */
  readonly claim?: string;
  /** Complete objects that belong to no complete export, and are not what is kept of one that was removed. */
  readonly objects: readonly ObjectInfo[];
  /** Writes that were never committed. */
  readonly pending: readonly PendingInfo[];
}

interface Remains {
  objects: ObjectInfo[];
  pending: PendingInfo[];
  owner?: OwnerState;
  text?: string;
  claim?: string | undefined;
}

/**
 * Finds what incomplete exports have in a store: those of dead runs, and those that are still running (their owner is `alive`, or `unknown`
 * from here). Also finds claims and writes that complete or removed exports left behind.
 *
 * @throws GantryError `STORE_*`
 */
export function findUnfinished(
  store: Store,
  options: CallOptions & { readonly instance?: string | undefined } = {},
): Promise<readonly UnfinishedExport[]> {
  const { instance, signal } = options;
  return withStoreErrors(store.address, async () => {
    await assertStoreFormat(store, { signal });
    const found = new Map<string, Remains>();
    const complete = new Set<string>();
    const removed = new Set<string>();
    const keys: string[] = [];
    for await (const directories of readDirectories(store, instance, { signal })) {
      for (const { instance, id, files } of directories) {
        const name = formatExportReference(instance, id);
        if (files.has(MANIFEST_FILE)) complete.add(name);
        const claimFile = id === GANETI_ID ? undefined : files.get(CLAIM_FILE);
        if (claimFile === undefined) continue;
        const claim = await readClaimText(store, exportPrefix(instance, id), { signal });
        const record = parseClaim(claim);
        const owner = await claimOwner(record);
        for (const dump of record?.dumps ?? []) if (!files.has(dump)) keys.push(`${exportPrefix(instance, id)}${dump}`);
        if (isRetired(files)) removed.add(name);
        const isStale = complete.has(name) ? (): boolean => false : staleIn(files, claim);
        const objects = [...files].flatMap(([file, info]) => (file === CLAIM_FILE || isStale(file) ? [info] : []));
        found.set(name, { objects, pending: [], owner, text: claimText(record, owner), claim });
      }
    }
    for await (const pending of store.pending(instance === undefined ? '' : `${instance}/`, { signal, keys })) {
      const place = placeOf(pending.key);
      // Gantry writes nothing where Ganeti's exports are; each `unknown/TOKEN` is a separate write.
      const name = place === undefined || place.id === GANETI_ID ? pending.key : formatExportReference(place.instance, place.id);
      const remains = found.get(name) ?? { objects: [], pending: [] };
      remains.pending.push(pending);
      found.set(name, remains);
    }
    return [...found].map(([name, remains]) => describe(name, { complete: complete.has(name), removed: removed.has(name) }, remains));
  });
}

function describe(
  name: string,
  state: Pick<UnfinishedExport, 'complete' | 'removed'>,
  { objects, pending, owner, text, claim }: Remains,
): UnfinishedExport {
  const owners = new Set([...(owner === undefined ? [] : [owner]), ...pending.map((write) => write.owner)]);
  const [first] = pending;
  return {
    name,
    // The claim decides, but a write that is alive is never taken for dead.
    owner: owners.has('alive') ? 'alive' : (owner ?? (owners.has('unknown') ? 'unknown' : 'dead')),
    text: text ?? `started ${first?.started.toISOString() ?? ''} by ${first?.ownerText ?? 'an unknown process'}`,
    ...state,
    ...(claim === undefined ? {} : { claim }),
    objects,
    pending,
  };
}

/**
 * The result: `cleared`; `complete` if it has become a complete export since it was found, which stays; `taken` if another run has claimed
 * its place, or is just doing so.
 */
export type ClearOutcome = 'cleared' | 'complete' | 'taken';

/**
 * Removes what {@link findUnfinished} found of one export. Objects of an export that is complete, or was completed meanwhile, stay; so do
 * those of one that was removed, since others may refer to them.
 *
 * @throws GantryError `BUSY` if its owner is alive, `STORE_*`
 */
export function clearUnfinished(store: Store, unfinished: UnfinishedExport, options: CallOptions = {}): Promise<ClearOutcome> {
  return withStoreErrors(store.address, async () => {
    if (unfinished.owner === 'alive') {
      throw new GantryError('BUSY', {
        message: `${unfinished.name} is still in progress: ${unfinished.text}`,
        hint: 'Wait until it ends, or end the process.',
      });
    }
    const claim = unfinished.objects.find(({ key }) => placeOf(key)?.name === CLAIM_FILE);
    const place = claim === undefined ? undefined : placeOf(claim.key);
    if (place === undefined || place.id === GANETI_ID) {
      await clearWrites(store, unfinished, options);
      return 'cleared';
    }
    await using lock = await lockPlace(place);
    return lock === undefined ? 'taken' : await clearClaimed(store, exportPrefix(place.instance, place.id), unfinished, options);
  });
}

async function clearWrites(store: Store, { pending }: UnfinishedExport, options: CallOptions): Promise<void> {
  await store.clear(
    pending.map(({ token }) => token),
    { ...options, keys: pending.map(({ key }) => key) },
  );
}

/**
 * Which files of an export without a manifest are of no more use. Of one that was removed, just what a copy was to add to packs that were
 * brought: it would be in the way of the next one, or look like something of a removed export.
 */
function staleIn(files: Pick<ReadonlySet<string>, 'has' | 'keys'>, claim: string | undefined): (name: string) => boolean {
  if (!isRetired(files)) return () => true;
  if (parseClaim(claim)?.copies === undefined) return () => false;
  return (name) => !mayBePack(name) && !isUnusedMark(name) && !BROUGHT_FILES.includes(name);
}

/**
 * Lists the objects again, since there may be more now, or a manifest, or a removal has taken that away: who removes an export takes its
 * claim first ({@link retireExport}).
 */
async function clearClaimed(store: Store, prefix: string, unfinished: UnfinishedExport, options: CallOptions): Promise<ClearOutcome> {
  const claimKey = `${prefix}${CLAIM_FILE}`;
  const isTaken = (claim: string | undefined): boolean => claim !== undefined && claim !== unfinished.claim;
  const claim = await readClaimText(store, prefix, options);
  if (isTaken(claim)) return 'taken';
  await clearWrites(store, unfinished, options);
  // The exporter may still be running, and must notice: it looks for its claim again after it has written the manifest.
  if (unfinished.owner === 'unknown') await store.remove([claimKey], options);
  const files = await namesBelow(store, prefix, options);
  const complete = files.has(MANIFEST_FILE);
  const now = await readClaimText(store, prefix, options);
  if (isTaken(now)) return 'taken';
  if (!complete && (unfinished.owner === 'unknown' || now === unfinished.claim)) {
    const isStale = staleIn(files, claim);
    const stale = [...files].filter((name) => name !== CLAIM_FILE && isStale(name));
    // What was listed may be a copy's that has claimed the place since, has become complete, and has released its claim before that was read.
    if (now === undefined && stale.length > 0 && isOfAnother(files, await namesBelow(store, prefix, options))) return 'taken';
    await store.remove(
      stale.map((name) => `${prefix}${name}`),
      options,
    );
  }
  // The claim of a dead process is removed last, so that what is left can still be recognised. One that came since is that of an exporter
  // which could not remove what it had written.
  if (unfinished.owner !== 'unknown' && unfinished.claim !== undefined) await removeClaim(store, prefix, unfinished.claim, options);
  return complete && !unfinished.complete ? 'complete' : 'cleared';
}

/** Whether a run has claimed a place between two listings, or what it wrote has become complete. */
function isOfAnother(before: ReadonlySet<string>, after: ReadonlySet<string>): boolean {
  return after.has(CLAIM_FILE) || after.has(MANIFEST_FILE) || (isRetired(after) && !isRetired(before));
}
