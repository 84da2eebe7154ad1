import type { CallOptions, ObjectInfo, StoreReader } from '@gantry/transport';
import { compareExportIds, exportPrefix, GANETI_ID, isReferencePart, parseExportId } from './export-id.ts';
import {
  CLAIM_FILE,
  CONFIG_FILE,
  CUT_OFF_FILE,
  MANIFEST_FILE,
  mayBePack,
  REMOVED_FILE,
  SEALED_PART_FILE,
  SEALED_SUFFIX,
  isUnusedMark,
} from './layout.ts';

/** The files of one export in a store, complete or not. */
export interface ExportDirectory {
  readonly instance: string;
  readonly id: string;
  /** By their names in the directory. */
  readonly files: ReadonlyMap<string, ObjectInfo>;
}

/**
 * Every export in a store, one instance at a time, oldest first. Keys that are not part of the layout are skipped, and what is left of
 * removed exports.
 */
export async function* readDirectories(
  store: StoreReader,
  instance: string | undefined,
  options: CallOptions,
): AsyncGenerator<readonly ExportDirectory[]> {
  for await (const all of readAllDirectories(store, instance, options)) {
    const exports = all.filter((directory) => !isRemoved(directory));
    if (exports.length > 0) yield exports;
  }
}

/** Whether a directory is what is left of an export that was removed. */
export function isRemoved({ files }: Pick<ExportDirectory, 'files'>): boolean {
  return isRetired(files) && !files.has(CLAIM_FILE);
}

/**
 * Whether an export was there that was removed, even if a claim is still beside what is left: others may refer to its packs. Of two
 * removals at once, the later may leave a mark alone.
 */
export function isRetired(files: Pick<ReadonlySet<string>, 'has' | 'keys'>): boolean {
  return !files.has(MANIFEST_FILE) && (files.has(REMOVED_FILE) || [...files.keys()].some(isUnusedMark));
}

/**
 * Whether files of a removed export are still the objects that they were: once all of it was removed, a copy may have brought the export
 * back under its id. Files that are gone meanwhile do not matter.
 *
 * @param seen its files, listed before
 * @throws StoreError
 */
export async function isSameRemoved(store: StoreReader, seen: ExportDirectory, options: CallOptions): Promise<boolean> {
  const { files } = await readDirectory(store, seen, options);
  if (files.has(MANIFEST_FILE) || files.has(CLAIM_FILE)) return false;
  return [...files].every(([name, now]) => isMark(name, seen) || isSameObject(seen.files.get(name), now));
}

/**
 * What a removal writes beside packs: another one may have written it again. `removed.json` of an export that was removed before is written
 * again just where dumps of it are brought back: these are the objects that they were.
 */
function isMark(name: string, seen: ExportDirectory): boolean {
  return isUnusedMark(name) || (name === REMOVED_FILE && !isRemoved(seen));
}

/** Whether an object of two listings was not replaced in between, as far as they show. */
export function isSameObject(before: ObjectInfo | undefined, now: ObjectInfo | undefined): boolean {
  return before?.size === now?.size && before?.modified.getTime() === now?.modified.getTime();
}

/** Whether a directory is what is left of an export that was cut off, whose frames the next one may take over. */
export function isCutOff(directory: Pick<ExportDirectory, 'files'>): boolean {
  return isRemoved(directory) && directory.files.has(CUT_OFF_FILE);
}

/**
 * Whether a directory has nothing but packs of a sealed export that copies of others brought: the export itself was never there. Of one that
 * was removed, the encrypted part of its manifest stays with its packs.
 */
export function isBrought(directory: Pick<ExportDirectory, 'files'>): boolean {
  const names = [...directory.files.keys()];
  const packs = names.filter(mayBePack);
  return (
    isRemoved(directory) &&
    !isCutOff(directory) &&
    !names.includes(SEALED_PART_FILE) &&
    packs.length > 0 &&
    packs.every((name) => name.endsWith(SEALED_SUFFIX))
  );
}

/** {@link readDirectories}, with what is left of removed exports. */
export async function* readAllDirectories(
  store: StoreReader,
  instance: string | undefined,
  options: CallOptions,
): AsyncGenerator<readonly ExportDirectory[]> {
  let gathered: { readonly instance: string; readonly byId: Map<string, Map<string, ObjectInfo>> } | undefined;
  for await (const info of store.list(instance === undefined ? '' : `${instance}/`, options)) {
    const place = placeOf(info.key);
    if (place === undefined) continue;
    if (gathered !== undefined && gathered.instance !== place.instance) {
      yield toDirectories(gathered);
      gathered = undefined;
    }
    gathered ??= { instance: place.instance, byId: new Map() };
    const files = gathered.byId.get(place.id) ?? new Map<string, ObjectInfo>();
    gathered.byId.set(place.id, files.set(place.name, info));
  }
  if (gathered !== undefined) yield toDirectories(gathered);
}

/** The files of one export, of which there may be none (any more). */
export async function readDirectory(
  store: StoreReader,
  { instance, id }: Pick<ExportDirectory, 'instance' | 'id'>,
  options: CallOptions,
): Promise<ExportDirectory> {
  const files = new Map<string, ObjectInfo>();
  for await (const info of store.list(exportPrefix(instance, id), options)) {
    const place = placeOf(info.key);
    if (place?.id === id) files.set(place.name, info);
  }
  return { instance, id, files };
}

/** The place of a key in the layout; undefined if it is not part of the layout. */
export function placeOf(key: string): { readonly instance: string; readonly id: string; readonly name: string } | undefined {
  const [instance, second, third, ...deeper] = key.split('/');
  if (instance === undefined || second === undefined || deeper.length > 0 || !isReferencePart(instance)) return undefined;
  if (third === undefined) return { instance, id: GANETI_ID, name: second };
  return second === GANETI_ID || !isReferencePart(second) ? undefined : { instance, id: second, name: third };
}

function toDirectories(gathered: {
  readonly instance: string;
  readonly byId: ReadonlyMap<string, Map<string, ObjectInfo>>;
}): ExportDirectory[] {
  return [...gathered.byId]
    .map(([id, files]) => ({ instance: gathered.instance, id, files }))
    .filter(isExport)
    .toSorted((a, b) => compareExportIds(a.id, b.id));
}

const OWN_SIGNS = [MANIFEST_FILE, CLAIM_FILE, REMOVED_FILE];

/** Whether a directory is one of an export: a store may also contain directories with other files. */
export function isExport({ id, files }: Pick<ExportDirectory, 'id' | 'files'>): boolean {
  return files.has(CONFIG_FILE) || (id !== GANETI_ID && (OWN_SIGNS.some((name) => files.has(name)) || parseExportId(id) !== undefined));
}
