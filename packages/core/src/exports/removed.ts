import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import type { Tool } from '../report/version.ts';
import { TOOL } from '../report/version.ts';
import type { ExportDirectory } from './directories.ts';
import { isRemoved, readDirectory } from './directories.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import {
  BROUGHT_PART_FILE,
  CLAIM_FILE,
  labelsNumber,
  MANIFEST_FILE,
  mayBePack,
  REMOVED_FILE,
  SEALED_PART_FILE,
  unusedMark,
} from './layout.ts';
import { removeFiles } from './remove-files.ts';
import { writeText } from './small-object.ts';

/** `removed.json`: the export was removed, and its packs are kept for others. */
interface RemovedRecord {
  readonly format: 'gantry-removed';
  readonly version: 1;
  readonly tool: Tool;
  /** ISO 8601, UTC. */
  readonly removed: string;
  readonly runId: string;
}

/** The mark of a pack to which nothing refers. */
interface UnusedRecord {
  readonly format: 'gantry-unused';
  readonly version: 1;
  readonly tool: Tool;
  /** ISO 8601, UTC. */
  readonly marked: string;
  readonly runId: string;
}

/** Which export. */
export interface Place {
  readonly instance: string;
  readonly id: string;
}

/**
 * Takes an export out of the exports of a store: its packs stay for others. `removed.json` is written first, so that at no time its packs
 * seem to be lost. A claim beside it goes before the manifest: otherwise the rest would look like an export that was never finished, all
 * of which may go. If the exporter still runs, it notices.
 *
 * @returns whether `removed.json` was written; a full store may have no space for it, and then nothing new may refer to its packs
 * @throws StoreError
 */
export async function retireExport(store: Store, place: Place, runId: string, options: CallOptions): Promise<boolean> {
  const isWritten = await writeRemoved(store, place, runId, options);
  await removeManifest(store, place, { runId, isWritten }, options);
  return isWritten;
}

/** What became of an export that {@link retireUnless} was asked to retire. `full`: `removed.json` could not be written. */
export type Retired = 'retired' | 'full' | 'kept';

/**
 * {@link retireExport}, unless something that was written meanwhile speaks for the export. It is looked for when `removed.json` is there:
 * one who writes it later sees that the export is being removed (`changeLabels`).
 *
 * @param isKept gets the files as they are then
 * @throws StoreError
 */
export async function retireUnless(
  store: Store,
  place: Place,
  isKept: (now: ExportDirectory) => boolean,
  { runId, ...options }: CallOptions & { readonly runId: string },
): Promise<Retired> {
  const isWritten = await writeRemoved(store, place, runId, options);
  if (isKept(await readDirectory(store, place, options))) {
    if (isWritten) await takeBackRemoved(store, place, runId, options);
    return 'kept';
  }
  await removeManifest(store, place, { runId, isWritten }, options);
  return isWritten ? 'retired' : 'full';
}

/** Removes `removed.json` of an export that stays; another removal may have taken its manifest away at the same moment. */
export async function takeBackRemoved(store: Store, place: Place, runId: string, options: CallOptions): Promise<void> {
  await removeFiles(store, place, [REMOVED_FILE], options);
  await completeRemoved(store, await readDirectory(store, place, options), runId, options);
}

/** Removes the manifest, after `removed.json` was written; then the labels that were written meanwhile. */
async function removeManifest(
  store: Store,
  place: Place,
  { runId, isWritten }: { readonly runId: string; readonly isWritten: boolean },
  options: CallOptions,
): Promise<void> {
  await removeFiles(store, place, [CLAIM_FILE], options);
  await removeFiles(store, place, [MANIFEST_FILE], options);
  const now = await readDirectory(store, place, options);
  if (isWritten) await completeRemoved(store, now, runId, options);
  const labels = [...now.files.keys()].filter((name) => labelsNumber(name) > 0);
  if (labels.length > 0 && !isTaken(now)) await removeFiles(store, place, labels, options);
}

/** Where another run took `removed.json` back, writes it again: without it, the packs would seem to be lost. */
async function completeRemoved(store: Store, now: ExportDirectory, runId: string, options: CallOptions): Promise<void> {
  const hasPacks = [...now.files.keys()].some(mayBePack);
  if (hasPacks && !isTaken(now) && !now.files.has(REMOVED_FILE)) await writeRemoved(store, now, runId, options);
}

/** Whether there is an export, or a run that writes one. */
function isTaken({ files }: ExportDirectory): boolean {
  return files.has(MANIFEST_FILE) || files.has(CLAIM_FILE);
}

/** Writes `removed.json`; false if the store is full. */
export function writeRemoved(store: Store, { instance, id }: Place, runId: string, options: CallOptions): Promise<boolean> {
  return writeIfSpace(store, `${exportPrefix(instance, id)}${REMOVED_FILE}`, renderRemoved(runId), options);
}

/** The text of `removed.json`. */
export function renderRemoved(runId: string): string {
  const record: RemovedRecord = { format: 'gantry-removed', version: 1, tool: TOOL, removed: new Date().toISOString(), runId };
  return render(record);
}

function render(record: RemovedRecord | UnusedRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/**
 * Marks packs of a removed export: from now on no new export refers to them (`readUsablePacks`). A mark is never taken back: it goes after
 * its pack. To be written before the store is searched for what refers to the packs, if they are to be deleted after that.
 *
 * @returns false if the store is full; some marks may be written then
 * @throws StoreError
 */
export async function markUnused(
  store: Store,
  { instance, id }: Place,
  packs: readonly string[],
  { runId, ...options }: CallOptions & { readonly runId: string },
): Promise<boolean> {
  const record: UnusedRecord = { format: 'gantry-unused', version: 1, tool: TOOL, marked: new Date().toISOString(), runId };
  for (const pack of packs)
    if (!(await writeIfSpace(store, `${exportPrefix(instance, id)}${unusedMark(pack)}`, render(record), options))) return false;
  return true;
}

/**
 * Says of an export that was removed from a full store that it was removed, now that there may be space: marks its packs, and then writes
 * `removed.json`. In this order, because another removal may have counted on it that nothing new refers to them.
 *
 * @returns false if there is still no space: its packs look like those of a damaged export
 * @throws StoreError
 */
export async function noteRemoved(
  store: Store,
  place: Place,
  packs: readonly string[],
  { runId, ...options }: CallOptions & { readonly runId: string },
): Promise<boolean> {
  if (packs.length === 0) return true;
  if ((await markUnused(store, place, packs, { ...options, runId })) && (await writeRemoved(store, place, runId, options))) return true;
  // One mark is enough.
  const now = await readDirectory(store, place, options);
  return now.files.size === 0 || isRemoved(now) || isTaken(now);
}

/** @throws GantryError `STORE_FULL` if there are any exports for which {@link noteRemoved} found no space */
export function assertNoted(store: Store, unnoted: readonly Place[]): void {
  const [first, ...more] = unnoted.map(({ instance, id }) => formatExportReference(instance, id));
  if (first === undefined) return;
  const others = more.length === 0 ? '' : `, and so ${more.length === 1 ? 'is' : 'are'} ${more.join(', ')}`;
  throw new GantryError('STORE_FULL', {
    message:
      `store ${store.address}: ${first} is removed${others}, but dumps stay for other exports, and there is no space to note that: ` +
      'until then, they are listed as damaged',
    hint: `Free space in the store, or get a larger quota, then finish the removal: gantry remove ${quoteWord(store.address)} ${quoteWord(first)}`,
  });
}

/** What has the key of an export: it stays as long as packs do. */
const KEY_FILES: readonly string[] = [SEALED_PART_FILE, BROUGHT_PART_FILE];

/**
 * The names of the files that other exports may refer to, and of the files that can go without harm to these. The encrypted part of the
 * manifest goes with the last pack: in it is the key with which others can still be let in (docs/decisions/0155).
 */
export function splitFiles(files: ReadonlyMap<string, unknown>): { readonly packs: readonly string[]; readonly rest: readonly string[] } {
  const packs = [...files.keys()].filter(mayBePack);
  const kept = new Set(packs.map(unusedMark));
  if (packs.length > 0) for (const name of KEY_FILES) kept.add(name);
  return { packs, rest: [...files.keys()].filter((name) => !mayBePack(name) && !kept.has(name)) };
}

/** The files of a removed export whose last pack is gone, in the order in which they go. @param last what says that it was removed */
export function lastFiles(files: ReadonlyMap<string, unknown>, last: string = REMOVED_FILE): readonly string[] {
  const hadPacks = [...files.keys()].some(mayBePack);
  return [...(hadPacks ? KEY_FILES.filter((name) => files.has(name)) : []), last];
}

/** Deletes packs to which nothing refers, then their marks. @throws StoreError */
export async function deletePacks(store: Store, place: Place, packs: readonly string[], options: CallOptions): Promise<void> {
  await removeFiles(store, place, packs, options);
  await removeFiles(store, place, packs.map(unusedMark), options);
}

async function writeIfSpace(store: Store, key: string, text: string, options: CallOptions): Promise<boolean> {
  try {
    await writeText(store, key, text, { ...options, ifExists: 'replace' });
    return true;
  } catch (error) {
    if (isStoreError(error, 'full')) return false;
    throw error;
  }
}
