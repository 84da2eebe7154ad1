import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { CODEC_NAMES } from '../frames/codecs/registry.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import { TOOL } from '../report/version.ts';
import { readClaimText } from './claim.ts';
import type { ExportDirectory } from './directories.ts';
import { isCutOff, placeOf, readAllDirectories } from './directories.ts';
import { compareExportIds, exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { FrameMapParser, FrameMapProblem } from './frame-map-text.ts';
import { CLAIM_FILE, CUT_OFF_FILE, isMapName, mapFileName, MANIFEST_FILE } from './layout.ts';
import type { PackRecord } from './packs.ts';
import { MAX_PACKS, packSchema } from './packs.ts';
import { lockPlace } from './place-lock.ts';
import { writeRemoved } from './removed.ts';
import { writeText } from './small-object.ts';
import type { UnfinishedExport } from './unfinished.ts';

/*
 * What is left of an incremental export that was cut off: packs with the frames that it had stored, and a frame map for each, which ends
 * where the export did (docs/decisions/0127). It is kept as a removed export is whose packs others need, and `cut-off.json` besides.
 */

/** The frames of one disk that an export has stored before it was cut off. */
export interface CutOffDisk {
  readonly disk: number;
  readonly instance: string;
  readonly exportId: string;
  /** Of the disk's start. */
  readonly map: FrameMap;
  readonly packs: readonly PackRecord[];
}

/**
 * Keeps what an export has stored whose place has no manifest any more. Its claim is to be removed after that.
 *
 * @returns false if the store is full: then it cannot be kept
 * @throws StoreError
 */
export async function markCutOff(
  store: Store,
  place: Pick<ExportDirectory, 'instance' | 'id'>,
  runId: string,
  options: CallOptions,
): Promise<boolean> {
  const record = { format: 'gantry-cut-off', version: 1, tool: TOOL, runId };
  try {
    const key = `${exportPrefix(place.instance, place.id)}${CUT_OFF_FILE}`;
    await writeText(store, key, `${JSON.stringify(record, null, 2)}\n`, { ...options, ifExists: 'replace' });
  } catch (error) {
    if (isStoreError(error, 'full')) return false;
    throw error;
  }
  return await writeRemoved(store, place, runId, options);
}

/**
 * Keeps the disks that an export had completed before it was killed; everything else of it goes.
 *
 * @returns false if there is nothing to keep, or another run has claimed its place, or is just doing so
 * @throws StoreError
 */
export async function keepUnfinished(store: Store, unfinished: UnfinishedExport, runId: string, options: CallOptions): Promise<boolean> {
  const claimKey = unfinished.objects.find(({ key }) => placeOf(key)?.name === CLAIM_FILE)?.key;
  const place = claimKey === undefined ? undefined : placeOf(claimKey);
  const names = unfinished.objects.flatMap(({ key }) => placeOf(key)?.name ?? []);
  const kept = keptNames(names);
  if (claimKey === undefined || place === undefined || place.id === GANETI_ID || kept.size === 0 || names.includes(MANIFEST_FILE))
    return false;
  await using lock = await lockPlace(place);
  if (lock === undefined) return false;
  const prefix = exportPrefix(place.instance, place.id);
  if ((await readClaimText(store, prefix, options)) !== unfinished.claim) return false;
  await store.clear(
    unfinished.pending.map(({ token }) => token),
    { ...options, keys: unfinished.pending.map(({ key }) => key) },
  );
  const rest = names.filter((name) => !kept.has(name) && name !== CLAIM_FILE);
  await store.remove(
    rest.map((name) => `${prefix}${name}`),
    options,
  );
  if (!(await markCutOff(store, place, runId, options))) return false;
  await store.remove([claimKey], options);
  return true;
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
export async function findCutOff(
  store: Store,
  { instance, disks }: { readonly instance: string; readonly disks: readonly number[] },
  options: CallOptions,
): Promise<FoundCutOff> {
  const found: CutOffDisk[] = [];
  const all = await everyDirectory(store, instance, options);
  const newest = all.findLast(({ files }) => files.has(MANIFEST_FILE))?.id;
  for (const directory of all.filter(isCutOff).toReversed()) {
    if (newest !== undefined && compareExportIds(directory.id, newest) < 0) continue;
    for (const disk of disks.filter((index) => directory.files.has(mapFileName(index)))) {
      const read = await readMap(store, directory, disk, options);
      if (read !== undefined) found.push(read);
    }
  }
  return { disks: found, exports: all.filter(isCutOff).map(({ id }) => id) };
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

async function everyDirectory(store: Store, instance: string, options: CallOptions): Promise<readonly ExportDirectory[]> {
  try {
    return (await Array.fromAsync(readAllDirectories(store, instance, options))).flat();
  } catch (error) {
    // The place is created by the first export.
    if (isStoreError(error, 'not-found')) return [];
    throw error;
  }
}

async function readMap(
  store: Store,
  { instance, id: exportId }: ExportDirectory,
  disk: number,
  options: CallOptions,
): Promise<CutOffDisk | undefined> {
  const chunks: Buffer[] = [];
  try {
    await using source = await store.read(`${exportPrefix(instance, exportId)}${mapFileName(disk)}`, options);
    for await (const chunk of source) chunks.push(Buffer.from(chunk));
    const text = Buffer.concat(chunks);
    const packs = packsOf(text, { instance, exportId });
    const plainBytes = Number(/\nend \d+ (\d+)\n$/.exec(text.toString('latin1', Math.max(0, text.length - MAX_END_BYTES)))?.[1]);
    const parser = new FrameMapParser({ instance, exportId, packs }, plainBytes);
    parser.push(text);
    return { disk, instance, exportId, map: parser.end(), packs };
  } catch (error) {
    // It has gone meanwhile, or is not a map.
    if (error instanceof FrameMapProblem || isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

const MAX_END_BYTES = 64;

/** The packs that the head of a map names. @throws FrameMapProblem */
function packsOf(text: Buffer, owner: Pick<PackRecord, 'instance' | 'exportId'>): readonly PackRecord[] {
  const packs: PackRecord[] = [];
  for (let at = text.indexOf('\n') + 1; packs.length < MAX_PACKS;) {
    const end = text.indexOf('\n', at);
    const [word, , path = '', codec, size, sha256] = text.toString('latin1', at, end).split(' ');
    if (word !== 'pack' || end === -1) break;
    const pack = packSchema.safeParse({
      ...placeOfPack(path, owner),
      codec: CODEC_NAMES.find((name) => name === codec),
      size: Number(size),
      sha256,
    });
    if (!pack.success) throw new FrameMapProblem('its packs are not valid');
    packs.push(pack.data);
    at = end + 1;
  }
  return packs;
}

/** The reverse of `packPath`. */
function placeOfPack(
  path: string,
  { instance, exportId }: Pick<PackRecord, 'instance' | 'exportId'>,
): Omit<PackRecord, 'codec' | 'size' | 'sha256'> {
  const [name = '', id = exportId, other = instance] = path
    .split('/')
    .filter((part) => part !== '..')
    .toReversed();
  return { instance: other, exportId: id, name };
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
