import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { parseClaim, readClaimText, removeClaim } from './claim.ts';
import type { CutOffDisk, CutOffMap, CutOffRecord } from './cut-off-maps.ts';
import { readCutOffDisk, renderCutOff } from './cut-off-maps.ts';
import type { ExportDirectory } from './directories.ts';
import { isCutOff, placeOf, readAllDirectories } from './directories.ts';
import { compareExportIds, exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { CLAIM_FILE, CUT_OFF_FILE, isMapName, mapFileName, MANIFEST_FILE } from './layout.ts';
import { namesBelow } from './names-below.ts';
import { PackDigests } from './pack-digests.ts';
import { orNothing } from './or-nothing.ts';
import { lockPlace } from './place-lock.ts';
import { removeFiles } from './remove-files.ts';
import { salvagePacks } from './salvage-packs.ts';
import { writeRemoved } from './removed.ts';
import { writeText } from './small-object.ts';
import type { UnfinishedExport } from './unfinished.ts';

/*
 * What is left of an incremental export that was cut off: packs with the frames that it had stored, and a frame map for each, which ends
 * where the export did (docs/decisions/0127). It is kept as a removed export is whose packs others need, and `cut-off.json` besides.
 */

/**
 * Keeps what an export has stored whose place has no manifest any more. Its claim is to be removed after that.
 *
 * @returns false if the store is full: then it cannot be kept
 * @throws StoreError
 */
export async function markCutOff(
  store: Store,
  place: Pick<ExportDirectory, 'instance' | 'id'>,
  record: CutOffRecord,
  options: CallOptions,
): Promise<boolean> {
  try {
    const key = `${exportPrefix(place.instance, place.id)}${CUT_OFF_FILE}`;
    await writeText(store, key, renderCutOff(record), { ...options, ifExists: 'replace' });
  } catch (error) {
    if (isStoreError(error, 'full')) return false;
    throw error;
  }
  return await writeRemoved(store, place, record.runId, options);
}

/** How {@link keepUnfinished} keeps. */
export interface KeepOptions {
  /** Of the run that keeps it. */
  readonly runId: string;
  /** Whether disks that were under way are kept too, which needs reading all that is durable of them. */
  readonly readBack: boolean;
}

/**
 * The result: `kept`; `later` if it may be kept when the store is available again, and must be left alone until then; `nothing` if there is
 * nothing to keep, or another run has claimed its place, or is just doing so.
 */
export type KeepOutcome = 'kept' | 'later' | 'nothing';

/**
 * Keeps what an export had stored before it was killed: disks that were complete, and of others what is durable. Everything else of it goes.
 *
 * @throws StoreError
 */
export async function keepUnfinished(
  store: Store,
  unfinished: UnfinishedExport,
  { runId, readBack, ...options }: CallOptions & KeepOptions,
): Promise<KeepOutcome> {
  const claimKey = unfinished.objects.find(({ key }) => placeOf(key)?.name === CLAIM_FILE)?.key;
  const place = claimKey === undefined ? undefined : placeOf(claimKey);
  if (claimKey === undefined || place === undefined || place.id === GANETI_ID || unfinished.complete || unfinished.removed)
    return 'nothing';
  await using lock = await lockPlace(place);
  if (lock === undefined) return 'nothing';
  const prefix = exportPrefix(place.instance, place.id);
  if ((await readClaimText(store, prefix, options)) !== unfinished.claim) return 'nothing';
  const claim = parseClaim(unfinished.claim);
  // What a copy has brought, the next copy goes on with. What is encrypted, this host cannot read.
  const isReadBack = readBack && claim !== undefined && claim.copies === undefined && claim.recipients === undefined;
  if (isReadBack && !(await salvagePacks(store, place, unfinished.pending, options))) return 'later';
  const names = [...(await namesBelow(store, prefix, options))];
  const kept = keptNames(names);
  if (kept.size === 0 || names.includes(MANIFEST_FILE)) return 'nothing';
  // While packs were read, a clean elsewhere may have taken the claim, and another run the place.
  if (unfinished.claim === undefined || (await readClaimText(store, prefix, options)) !== unfinished.claim) return 'nothing';
  await store.clear(
    unfinished.pending.map(({ token }) => token),
    { ...options, keys: unfinished.pending.map(({ key }) => key) },
  );
  const rest = names.filter((name) => !kept.has(name) && name !== CLAIM_FILE);
  await removeFiles(store, place, rest, options);
  const maps = await digestMaps(store, prefix, [...kept].filter(isMapName), options);
  if (!(await markCutOff(store, place, { runId, recipients: claim?.recipients, maps }, options))) return 'nothing';
  await removeClaim(store, prefix, unfinished.claim, options);
  return 'kept';
}

async function digestMaps(store: Store, prefix: string, names: readonly string[], options: CallOptions): Promise<readonly CutOffMap[]> {
  const digests = new PackDigests(store);
  const maps: CutOffMap[] = [];
  for (const name of names) {
    const digest = await digests.of(`${prefix}${name}`, options);
    if (digest !== undefined) maps.push({ name, ...digest });
  }
  return maps;
}

/** The maps, and the packs that belong to them: a pack is written before its map. */
export function keptNames(names: readonly string[]): ReadonlySet<string> {
  const kept = new Set<string>();
  for (const map of names.filter(isMapName)) {
    const disk = map.slice(0, map.indexOf('.') + 1);
    const packs = names.filter((name) => name !== map && name.startsWith(disk) && !isMapName(name));
    if (packs.length > 0) for (const name of [map, ...packs]) kept.add(name);
  }
  return kept;
}

/** An export that may take over frames. */
export interface CutOffRequest {
  readonly instance: string;
  readonly disks: readonly number[];
  /** If it is sealed. */
  readonly recipients?: readonly string[] | undefined;
}

/** What is there of exports that were cut off. */
export interface FoundCutOff {
  /** Those of which something can be taken over. */
  readonly disks: readonly CutOffDisk[];
  /** The ids of all. */
  readonly exports: readonly string[];
}

/**
 * The frames that exports of an instance have left which were cut off after its newest complete export. One that cannot be read is passed
 * over.
 *
 * @throws StoreError
 */
export async function findCutOff(store: Store, { instance, disks, recipients }: CutOffRequest, options: CallOptions): Promise<FoundCutOff> {
  const found: CutOffDisk[] = [];
  const all = (await Array.fromAsync(orNothing(readAllDirectories(store, instance, options)))).flat();
  const newest = all.findLast(({ files }) => files.has(MANIFEST_FILE))?.id;
  const cutOff = all.filter(isCutOff);
  const later = cutOff.filter(({ id }) => newest === undefined || compareExportIds(id, newest) > 0).toReversed();
  for (const disk of disks) {
    for (const directory of mostUseful(later, mapFileName(disk, { sealed: recipients }))) {
      const read = await readCutOffDisk(store, directory, { disk, recipients }, options);
      if (read !== undefined) found.push(read);
    }
  }
  return { disks: found, exports: cutOff.map(({ id }) => id) };
}

/**
 * The newest that has a map, which has taken over what it needed of those before, and the largest of these: it may have come further. Not
 * all: each map is held in memory.
 */
function mostUseful(directories: readonly ExportDirectory[], map: string): readonly ExportDirectory[] {
  const [newest, ...others] = directories.filter(({ files }) => files.has(map));
  const sizeOf = ({ files }: ExportDirectory): number => files.get(map)?.size ?? 0;
  const [largest] = others.toSorted((a, b) => sizeOf(b) - sizeOf(a));
  return [newest, largest].filter((directory) => directory !== undefined);
}

/**
 * To be called when a later export is complete: what is left of these is from now on like what is left of removed exports.
 *
 * @throws StoreError
 */
export async function forgetCutOff(store: Store, instance: string, ids: readonly string[], options: CallOptions): Promise<void> {
  await store.remove(
    ids.map((id) => `${exportPrefix(instance, id)}${CUT_OFF_FILE}`),
    options,
  );
}

/** `INSTANCE@EXPORT-ID` of what is left of the exports, and of every export on whose packs it rests. */
export function cutOffReferences(found: readonly CutOffDisk[]): readonly string[] {
  return [
    ...new Set(
      found.flatMap(({ instance, exportId, packs }) =>
        [{ instance, exportId }, ...packs].map((pack) => formatExportReference(pack.instance, pack.exportId)),
      ),
    ),
  ];
}
