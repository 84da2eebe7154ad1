import { randomUUID } from 'node:crypto';
import type { CallOptions, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { ConfigDescription } from './config-import.ts';
import type { ExportDirectory } from './directories.ts';
import { isRemoved, isSameRemoved, readAllDirectories } from './directories.ts';
import { examine } from './examine.ts';
import { formatExportReference, GANETI_ID, parseExportReference } from './export-id.ts';
import { findExport } from './find-export.ts';
import { CONFIG_FILE, REMOVED_FILE, SUMS_FILE } from './layout.ts';
import { PackUses } from './pack-uses.ts';
import type { Place } from './removed.ts';
import { removeFiles } from './remove-files.ts';
import { assertNoted, deletePacks, lastFiles, markUnused, noteRemoved, retireExport, splitFiles } from './removed.ts';
import { withStoreErrors } from './store-errors.ts';
import type { UsesOfExport } from './uses-of-export.ts';
import { findUsesOf } from './uses-of-export.ts';

/** What was removed. */
export interface RemovalResult {
  /** Bytes of the packs that were kept, because other exports refer to them, or may. */
  readonly keptBytes: number;
  /** Why packs were kept although nothing is known to refer to them, one clause each: what cannot be read. */
  readonly unclear: readonly string[];
}

/**
 * Removes one export. The manifest is removed first: from then on it is not an export any more. Packs to which other exports refer, or
 * may refer, stay, with `removed.json` beside them (docs/decisions/0119). An interrupted removal can be finished by calling this again. In
 * a full store, what nothing needs goes anyway.
 *
 * @param reference with an id: `INSTANCE@EXPORT-ID`
 * @throws GantryError `USAGE`, `EXPORT_NOT_FOUND`, `EXPORT_INCOMPLETE` if it was never finished, `CONFIG_DAMAGED` if it is one of
 *   Ganeti's and its files are unknown, `STORE_FULL` if it is removed, but there is no space to note that its packs stay, `STORE_*`
 */
export function removeExport(store: Store, reference: string, options: CallOptions = {}): Promise<RemovalResult> {
  return withStoreErrors(store.address, async () => {
    const { directory, config } = await findRemovable(store, reference, options);
    return config === undefined ? removeDirectory(store, directory, options) : removeGaneti(store, directory, config, options);
  });
}

/** A file of an export that would be removed, or kept for other exports. */
export interface RemovableFile {
  readonly name: string;
  readonly bytes: number;
  readonly isKept: boolean;
}

export interface RemovalPlan extends RemovalResult {
  readonly instance: string;
  readonly files: readonly RemovableFile[];
}

/** Says what {@link removeExport} would remove, and what it would keep. Changes nothing. @throws as {@link removeExport} */
export function planRemoval(store: Store, reference: string, options: CallOptions = {}): Promise<RemovalPlan> {
  return withStoreErrors(store.address, async () => {
    const { directory, config } = await findRemovable(store, reference, options);
    const { files, instance } = directory;
    const { packs } = splitFiles(files);
    const { uses, unclear } = config === undefined && packs.length > 0 ? await findUsesOf(store, directory, new Set(), options) : NOTHING;
    const kept = unclear.length > 0 ? packs : packs.filter((name) => !namesOf(directory, packs, uses).includes(name));
    const names = config === undefined ? [...files.keys()] : [...config.disks.flatMap(({ dump }) => dump ?? []), CONFIG_FILE];
    const listed = names.map((name) => ({ name, bytes: files.get(name)?.size ?? 0, isKept: config === undefined && kept.includes(name) }));
    return { instance, files: listed, keptBytes: sizeOf(files, config === undefined ? kept : []), unclear };
  });
}

/** What a reference with an id names; `config` only for what Ganeti made. @throws as {@link removeExport} */
async function findRemovable(
  store: Store,
  reference: string,
  options: CallOptions,
): Promise<{ readonly directory: ExportDirectory; readonly config?: ConfigDescription }> {
  const { instance, id } = parseExportReference(reference);
  if (id === undefined) {
    throw new GantryError('USAGE', {
      message: `${reference} does not say which export to remove`,
      hint: `Give its id: ${reference}@EXPORT-ID; gantry list shows the ids.`,
    });
  }
  const directory = (await findRemoved(store, { instance, id }, options)) ?? (await findExport(store, reference, options)).directory;
  if (isRemoved(directory)) return { directory };
  const found = await examine(store, directory, options);
  if (found.state === 'unfinished') {
    throw new GantryError('EXPORT_INCOMPLETE', {
      message: `${reference} is not complete: ${found.text}`,
      hint: `gantry clean --export ${reference} removes it.`,
    });
  }
  if (id === GANETI_ID && found.state === 'damaged') throw found.error;
  return id === GANETI_ID && found.state === 'ganeti' ? { directory, config: found.config } : { directory };
}

/**
 * Takes an export away that its own run gives up, although others may have seen it: what they refer to stays.
 *
 * @throws GantryError `STORE_*`
 */
export function withdrawExport(store: Store, place: Place, options: CallOptions): Promise<RemovalResult> {
  return withStoreErrors(store.address, async () => {
    await retireExport(store, place, randomUUID(), options);
    return removeExport(store, formatExportReference(place.instance, place.id), options);
  });
}

/** What is left of an export whose removal was interrupted, or whose packs were kept. */
async function findRemoved(
  store: Store,
  { instance, id }: { readonly instance: string; readonly id: string },
  options: CallOptions,
): Promise<ExportDirectory | undefined> {
  for await (const directories of readAllDirectories(store, instance, options)) {
    const found = directories.find((directory) => directory.id === id);
    if (found !== undefined && isRemoved(found)) return found;
  }
  return undefined;
}

/** Gantry's exports of the instance are in the same directory: only what Ganeti's `config.ini` names belongs to its export. */
async function removeGaneti(
  store: Store,
  directory: ExportDirectory,
  { disks }: ConfigDescription,
  options: CallOptions,
): Promise<RemovalResult> {
  await removeFiles(
    store,
    directory,
    disks.flatMap(({ dump }) => dump ?? []),
    options,
  );
  await removeFiles(store, directory, [CONFIG_FILE], options);
  return { keptBytes: 0, unclear: [] };
}

/** One removal: the export, and its packs by their names. */
interface Removal {
  readonly store: Store;
  readonly directory: ExportDirectory;
  readonly packs: readonly string[];
  readonly runId: string;
  readonly options: CallOptions;
}

async function removeDirectory(store: Store, directory: ExportDirectory, options: CallOptions): Promise<RemovalResult> {
  const { files } = directory;
  const { packs, rest } = splitFiles(files);
  const removal = { store, directory, packs, runId: randomUUID(), options };
  const passed = new Set<string>();
  const before = packs.length === 0 ? NOTHING : await findUsesOf(store, directory, passed, options);
  if (isRemoved(directory) && !(await isSameRemoved(store, directory, options))) return broughtBack(directory, packs);
  const isWritten = isRemoved(directory) || (await retireExport(store, directory, removal.runId, options)) || files.has(REMOVED_FILE);
  const last = isWritten ? REMOVED_FILE : files.has(SUMS_FILE) ? SUMS_FILE : CONFIG_FILE;
  await removeFiles(
    store,
    directory,
    rest.filter((name) => name !== last),
    options,
  );
  const unused = before.unclear.length > 0 ? [] : namesOf(directory, packs, before.uses);
  const bar = unused.length === 0 ? 'none' : isWritten ? await barPacks(removal, unused) : 'without note';
  const isBarred = bar !== 'none';
  const after = isBarred ? await findUsesOf(store, directory, passed, options) : before;
  const gone = isBarred && after.unclear.length === 0 ? namesOf(directory, unused, after.uses) : [];
  if (gone.length > 0 && !(await isSameRemoved(store, directory, options))) return broughtBack(directory, packs);
  await deletePacks(store, directory, gone, options);
  const kept = packs.filter((name) => !gone.includes(name));
  if (kept.length === 0) await removeFiles(store, directory, lastFiles(files, last), options);
  // By now there is space for it. New exports still must not refer to the packs: another removal may have counted on that.
  else if ((!isWritten || bar === 'without note') && !(await noteRemoved(store, directory, kept, { ...options, runId: removal.runId })))
    assertNoted(store, [directory]);
  return { keptBytes: sizeOf(files, kept), unclear: after.unclear };
}

/** Another removal took all of it away meanwhile, and a copy brought the export back: that one is not to be touched. */
function broughtBack({ files }: ExportDirectory, packs: readonly string[]): RemovalResult {
  return { keptBytes: sizeOf(files, packs), unclear: [] };
}

function sizeOf(files: ExportDirectory['files'], names: readonly string[]): number {
  return names.reduce((sum, name) => sum + (files.get(name)?.size ?? 0), 0);
}

const NOTHING: UsesOfExport = { uses: new PackUses(), unclear: [] };

function namesOf({ instance, id }: ExportDirectory, packs: readonly string[], uses: PackUses): readonly string[] {
  return packs.filter((name) => !uses.has({ instance, exportId: id, name }));
}

/** How new exports are kept from referring to packs: by marks, or because there is no `removed.json`, which bars all of them. */
type Bar = 'marks' | 'without note' | 'none';

/** Keeps new exports from referring to packs. A full store has no space for marks: there, `removed.json` goes if all packs are to be barred. */
async function barPacks(removal: Removal, unused: readonly string[]): Promise<Bar> {
  const { store, directory, packs, runId, options } = removal;
  if (await markUnused(store, directory, unused, { ...options, runId })) return 'marks';
  if (unused.length < packs.length) return 'none';
  await removeFiles(store, directory, [REMOVED_FILE], options);
  return 'without note';
}
