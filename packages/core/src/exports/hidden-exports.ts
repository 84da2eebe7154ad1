import { posix } from 'node:path';
import type { CallOptions, HiddenObject, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { placeOf, readDirectory } from './directories.ts';
import { readSideFile } from './examine.ts';
import { exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { CLAIM_FILE, CUT_OFF_FILE, isUnusedMark, MANIFEST_FILE, REMOVED_FILE, SUMS_FILE } from './layout.ts';
import { removeFiles } from './remove-files.ts';
import type { Place } from './removed.ts';
import { writeRemoved } from './removed.ts';
import { parseSha256Sums } from './sha256sums.ts';

/** An export that was removed, and whose files the service still has. */
export interface HiddenExport extends Place {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /** When its manifest was removed. */
  readonly removed: Date;
  /** What comes back, beside dumps of other exports that it needs. */
  readonly objects: readonly HiddenObject[];
}

/**
 * The exports below a prefix whose manifests were removed, in the order of their keys.
 *
 * @throws GantryError `STORE_UNSUPPORTED` for a store that never has what was removed; StoreError
 */
export async function findHiddenExports(store: Store, prefix: string, options: CallOptions): Promise<readonly HiddenExport[]> {
  const byPlace = new Map<string, Place & { readonly objects: HiddenObject[] }>();
  for await (const object of listHidden(store, prefix, options)) {
    const place = placeOf(object.key);
    if (place === undefined || place.id === GANETI_ID || !isPartOfExport(place.name)) continue;
    const { instance, id } = place;
    const found = byPlace.get(exportPrefix(instance, id)) ?? { instance, id, objects: [] };
    byPlace.set(exportPrefix(instance, id), found);
    found.objects.push(object);
  }
  return [...byPlace.values()].flatMap(({ instance, id, objects }) => {
    const manifest = objects.find(({ key }) => placeOf(key)?.name === MANIFEST_FILE);
    return manifest === undefined
      ? []
      : { instance, id, reference: formatExportReference(instance, id), removed: manifest.hidden, objects };
  });
}

function listHidden(store: Store, prefix: string, options: CallOptions): AsyncIterable<HiddenObject> {
  if (store.hidden !== undefined) return store.hidden(prefix, options);
  throw new GantryError('STORE_UNSUPPORTED', {
    message: `cannot bring back what was removed from ${store.address}: only a bucket can keep that`,
    hint: 'Copy the export from another store: gantry copy.',
  });
}

/** What says of files that they may go, or are written, does not come back. */
function isPartOfExport(name: string): boolean {
  return name !== CLAIM_FILE && name !== REMOVED_FILE && name !== CUT_OFF_FILE && !isUnusedMark(name);
}

/**
 * Brings back an export: first the dumps of others that it needs and are gone, its manifest last. What says that it was removed goes after
 * that. An interrupted call can be repeated.
 *
 * @throws GantryError `MANIFEST_DAMAGED` where its `SHA256SUMS` is gone for good; StoreError
 */
export async function bringBack(store: Store, found: HiddenExport, runId: string, options: CallOptions): Promise<void> {
  const named = (name: string): readonly HiddenObject[] => found.objects.filter(({ key }) => placeOf(key)?.name === name);
  await store.unhide?.(named(SUMS_FILE), options);
  await bringBackPacks(store, found, runId, options);
  const manifest = named(MANIFEST_FILE);
  await store.unhide?.(
    found.objects.filter((object) => !manifest.includes(object)),
    options,
  );
  await store.unhide?.(manifest, options);
  const { files } = await readDirectory(store, found, options);
  const marks = [...files.keys()].filter((name) => name === REMOVED_FILE || isUnusedMark(name));
  if (marks.length > 0) await removeFiles(store, found, marks, options);
}

/** The files of other exports that `SHA256SUMS` names. */
async function bringBackPacks(store: Store, found: HiddenExport, runId: string, options: CallOptions): Promise<void> {
  const sums = parseSha256Sums(await readSideFile(store, found, SUMS_FILE, options), `${SUMS_FILE} of ${found.reference}`);
  const keys = sums.flatMap(({ name }) => (name.includes('/') ? posix.join(exportPrefix(found.instance, found.id), name) : []));
  const owners = Map.groupBy(keys, (key) => exportPrefix(placeOf(key)?.instance ?? '', placeOf(key)?.id ?? ''));
  for (const [prefix, wanted] of owners) {
    const hidden = (await Array.fromAsync(listHidden(store, prefix, options))).filter(({ key }) => wanted.includes(key));
    const [first] = hidden;
    const owner = first === undefined ? undefined : placeOf(first.key);
    if (owner === undefined) continue;
    const { files } = await readDirectory(store, owner, options);
    // With neither, the packs would seem to be lost.
    if (!files.has(MANIFEST_FILE) && !files.has(REMOVED_FILE)) await writeRemoved(store, owner, runId, options);
    await store.unhide?.(hidden, options);
  }
}
