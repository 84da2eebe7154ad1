import { posix } from 'node:path';
import type { CallOptions, HiddenObject, ObjectInfo, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { largest } from '../system/largest.ts';
import { placeOf, readAllDirectories, readDirectory } from './directories.ts';
import { readSideFile } from './examine.ts';
import { exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import {
  BROUGHT_PART_FILE,
  CLAIM_FILE,
  CUT_OFF_FILE,
  isUnusedMark,
  keysNumber,
  MANIFEST_FILE,
  REMOVED_FILE,
  SIGNATURE_FILE,
  STORE_MARKER_FILE,
  SUMS_FILE,
} from './layout.ts';
import type { Place } from './removed.ts';
import { parseSha256Sums } from './sha256sums.ts';

/** An export of which something was removed that the service still has. */
export interface HiddenExport extends Place {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /** When its manifest was removed, or where that is there, the last object that it needs. */
  readonly removed: Date;
  /** What comes back of its own files. */
  readonly objects: readonly HiddenObject[];
  /** Nothing of it is hidden, but `removed.json` is beside it. Found only by its name or that of its instance. */
  readonly isThere?: boolean;
}

/** What is in the place of an export, and what was removed from there, by the names of the files. */
export interface PlaceContents {
  readonly files: ReadonlyMap<string, ObjectInfo>;
  readonly hidden: ReadonlyMap<string, HiddenObject>;
}

/** A file that an export needs: its own, or a dump of another export. */
export interface NeededFile extends Place {
  readonly key: string;
  readonly name: string;
}

/**
 * The exports of which something was removed that the service still has: all of each, or some of the files that it needs, or dumps of
 * others that it needs. One instance is in memory at a time.
 *
 * @param wanted all, those of an instance, or one
 * @throws GantryError `STORE_UNSUPPORTED` for a store that never has what was removed; StoreError
 */
export async function* findHiddenExports(
  store: Store,
  wanted: Partial<Place>,
  options: CallOptions,
): AsyncGenerator<HiddenExport, void, undefined> {
  const { instance: only, id } = wanted;
  for (const instance of only === undefined ? await instanceNames(store, options) : [only]) {
    const places = new Places(store, options);
    for (const each of id === undefined ? await places.idsOf(instance) : [id]) {
      const found = each === GANETI_ID ? undefined : await findOne(store, { instance, id: each }, places, options);
      if (found !== undefined && (only !== undefined || found.isThere !== true)) yield found;
    }
  }
}

/** Brings back what marks a place as a store. @throws StoreError */
export async function bringBackMarker(store: Store, options: CallOptions): Promise<void> {
  const hidden = await Array.fromAsync(listHidden(store, STORE_MARKER_FILE, options));
  await store.unhide?.(
    hidden.filter(({ key }) => key === STORE_MARKER_FILE),
    options,
  );
}

/** What is in the place of an export, and what was removed from there. @throws StoreError */
export async function readPlace(store: Store, place: Place, options: CallOptions): Promise<PlaceContents> {
  const hidden = await Array.fromAsync(listHidden(store, exportPrefix(place.instance, place.id), options));
  const { files } = await readDirectory(store, place, options);
  return { files, hidden: byName(hidden) };
}

/**
 * What `SHA256SUMS` of an export names.
 *
 * @throws GantryError `MANIFEST_DAMAGED` where it is missing or damaged; `STORE_*`
 */
export async function readNeeded(store: Store, place: Place, options: CallOptions): Promise<readonly NeededFile[]> {
  const prefix = exportPrefix(place.instance, place.id);
  const text = await readSideFile(store, place, SUMS_FILE, options);
  const sums = parseSha256Sums(text, `${SUMS_FILE} of ${formatExportReference(place.instance, place.id)}`);
  return sums.flatMap(({ name }) => {
    const key = posix.join(prefix, name);
    const found = placeOf(key);
    return found === undefined ? [] : { instance: found.instance, id: found.id, name: found.name, key };
  });
}

/** What says something else of a place than that an export is there. */
const LEFT_HIDDEN: ReadonlySet<string> = new Set([CLAIM_FILE, REMOVED_FILE, CUT_OFF_FILE, BROUGHT_PART_FILE]);

/**
 * What comes back of an export's own files. Where its manifest is there, that is only what it needs: its labels change, and older ones
 * are hidden then.
 *
 * @param needed undefined where `SHA256SUMS` cannot be read
 */
export function ownHidden(
  { instance, id }: Place,
  { files, hidden }: PlaceContents,
  needed: readonly NeededFile[] | undefined,
): readonly HiddenObject[] {
  const own = new Set((needed ?? []).filter((file) => file.instance === instance && file.id === id).map(({ name }) => name));
  const isWanted = (name: string): boolean =>
    files.has(MANIFEST_FILE)
      ? own.has(name) || name === SUMS_FILE || name === SIGNATURE_FILE || keysNumber(name) > 0
      : !LEFT_HIDDEN.has(name) && !isUnusedMark(name);
  return [...hidden].flatMap(([name, object]) => (isWanted(name) ? object : []));
}

async function findOne(store: Store, place: Place, places: Places, options: CallOptions): Promise<HiddenExport | undefined> {
  const contents = await places.of(place);
  const base = { ...place, reference: formatExportReference(place.instance, place.id) };
  const manifest = contents.hidden.get(MANIFEST_FILE);
  if (!contents.files.has(MANIFEST_FILE))
    return manifest === undefined ? undefined : { ...base, removed: manifest.hidden, objects: ownHidden(place, contents, undefined) };
  const needed = await neededIfReadable(store, place, options);
  const objects = ownHidden(place, contents, needed);
  const gone = [...objects];
  for (const file of needed) {
    if (file.instance === place.instance && file.id === place.id) continue;
    const { files, hidden } = await places.of(file);
    const object = files.has(file.name) ? undefined : hidden.get(file.name);
    if (object !== undefined) gone.push(object);
  }
  const left = contents.files.get(REMOVED_FILE);
  // Perhaps what an interrupted call has left.
  if (gone.length === 0) return left === undefined ? undefined : { ...base, removed: left.modified, objects, isThere: true };
  return { ...base, removed: new Date(largest(gone.map(({ hidden }) => hidden.getTime()))), objects };
}

async function neededIfReadable(store: Store, place: Place, options: CallOptions): Promise<readonly NeededFile[]> {
  try {
    return await readNeeded(store, place, options);
  } catch (error) {
    if (error instanceof GantryError && error.code === 'MANIFEST_DAMAGED') return [];
    throw error;
  }
}

async function instanceNames(store: Store, options: CallOptions): Promise<readonly string[]> {
  const names = new Set<string>();
  for await (const { key } of listHidden(store, '', options)) {
    const instance = placeOf(key)?.instance;
    if (instance !== undefined) names.add(instance);
  }
  for await (const [first] of readAllDirectories(store, undefined, options)) if (first !== undefined) names.add(first.instance);
  return [...names].toSorted();
}

/** What is in places, each looked at once. */
class Places {
  readonly #store: Store;
  readonly #options: CallOptions;
  readonly #known = new Map<string, PlaceContents>();

  constructor(store: Store, options: CallOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Looks at all of an instance. */
  async idsOf(instance: string): Promise<readonly string[]> {
    const hidden = await Array.fromAsync(listHidden(this.#store, `${instance}/`, this.#options));
    const hiddenById = Map.groupBy(hidden, ({ key }) => placeOf(key)?.id ?? GANETI_ID);
    const filesById = new Map<string, ReadonlyMap<string, ObjectInfo>>();
    for (const { id, files } of await directoriesOf(this.#store, instance, this.#options)) filesById.set(id, files);
    const ids = [...new Set([...hiddenById.keys(), ...filesById.keys()])].toSorted();
    for (const id of ids)
      this.#known.set(exportPrefix(instance, id), { files: filesById.get(id) ?? new Map(), hidden: byName(hiddenById.get(id) ?? []) });
    return ids;
  }

  async of({ instance, id }: Place): Promise<PlaceContents> {
    const prefix = exportPrefix(instance, id);
    const contents = this.#known.get(prefix) ?? (await readPlace(this.#store, { instance, id }, this.#options));
    this.#known.set(prefix, contents);
    return contents;
  }
}

async function directoriesOf(store: Store, instance: string, options: CallOptions) {
  try {
    return (await Array.fromAsync(readAllDirectories(store, instance, options))).flat();
  } catch (error) {
    // Nothing of the instance is there.
    if (isStoreError(error, 'not-found')) return [];
    throw error;
  }
}

function byName(objects: readonly HiddenObject[]): ReadonlyMap<string, HiddenObject> {
  return new Map(objects.map((object) => [placeOf(object.key)?.name ?? object.key, object]));
}

function listHidden(store: Store, prefix: string, options: CallOptions): AsyncIterable<HiddenObject> {
  if (store.hidden !== undefined) return store.hidden(prefix, options);
  throw new GantryError('STORE_UNSUPPORTED', {
    message: `cannot bring back what was removed from ${store.address}: only a bucket can keep that`,
    hint: 'Copy the export from another store: gantry copy.',
  });
}
