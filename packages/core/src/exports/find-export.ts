import type { CallOptions, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { nearestNames } from '../report/nearest.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { ExportDirectory } from './directories.ts';
import { placeOf, readDirectories } from './directories.ts';
import { examine } from './examine.ts';
import { formatExportReference, parseExportId, parseExportReference } from './export-id.ts';
import { describeFuture } from './future.ts';
import { CONFIG_FILE, MANIFEST_FILE, SUMS_FILE, CLAIM_FILE } from './layout.ts';
import { withStoreErrors } from './store-errors.ts';
import { assertStoreFormat } from './store-marker.ts';

/** Maximum number of ids in a message. */
const MAX_NAMED = 10;

/** How many manifests are read at once. */
const MAX_PARALLEL_READS = 8;

export interface FoundExport {
  readonly directory: ExportDirectory;
  /** What the user should know about the choice of the newest export. */
  readonly warnings: readonly string[];
}

/**
 * The directory of a reference: with an id, that export; without one, the newest that looks complete.
 *
 * @throws GantryError `USAGE`, `EXPORT_NOT_FOUND`, `EXPORT_INCOMPLETE` if none of the exports was finished
 */
export async function findExport(store: Store, reference: string, options: CallOptions): Promise<FoundExport> {
  const { instance, id } = parseExportReference(reference);
  await assertStoreFormat(store, options);
  const directories: ExportDirectory[] = [];
  for await (const found of readDirectories(store, instance, options)) for (const directory of found) directories.push(directory);
  if (directories.length === 0) throw await instanceNotFound(store, instance, options);
  if (id === undefined) return findNewest(store, instance, directories, options);
  const directory = directories.find((candidate) => candidate.id === id);
  if (directory === undefined) throw idNotFound(store, instance, id, directories);
  return { directory, warnings: [] };
}

async function findNewest(
  store: Store,
  instance: string,
  directories: readonly ExportDirectory[],
  options: CallOptions,
): Promise<FoundExport> {
  const complete = directories.filter(looksComplete);
  const dated = await sideBySide(
    complete,
    MAX_PARALLEL_READS,
    options.signal ?? new AbortController().signal,
    async (directory, signal) => ({
      directory,
      time: await startTime(store, directory, { signal }),
    }),
  );
  const newest = dated.toSorted((a, b) => a.time - b.time).at(-1);
  if (newest !== undefined) {
    const odd = describeFuture(new Date(newest.time));
    const name = formatExportReference(instance, newest.directory.id);
    return {
      directory: newest.directory,
      warnings: odd === undefined ? [] : [`${name} is used as the newest; ${odd}. To use another one, give its id`],
    };
  }
  throw new GantryError('EXPORT_INCOMPLETE', {
    message: `none of the ${directories.length} exports of ${instance} in ${store.address} is complete`,
    details: idsOf(directories),
    hint: 'gantry list shows their state; gantry clean removes what dead runs left.',
  });
}

/** Whether a directory has what makes it an export: a manifest, or the description that Ganeti writes. */
export function looksComplete({ files }: Pick<ExportDirectory, 'files'>): boolean {
  return files.has(MANIFEST_FILE) || (files.has(CONFIG_FILE) && !files.has(CLAIM_FILE) && !files.has(SUMS_FILE));
}

/** From the id for Gantry's exports, from the file for Ganeti's. */
async function startTime(store: Store, directory: ExportDirectory, options: CallOptions): Promise<number> {
  const id = parseExportId(directory.id);
  if (id !== undefined) return id.started.getTime();
  const found = await examine(store, directory, options);
  if (found.state === 'gantry') return Date.parse(found.manifest.started);
  return found.state === 'ganeti' ? (found.config.timestamp?.getTime() ?? 0) : 0;
}

async function instanceNotFound(store: Store, instance: string, options: CallOptions): Promise<GantryError> {
  const similar = await similarInstances(store, instance, options);
  return new GantryError('EXPORT_NOT_FOUND', {
    message: `there is no export of ${instance} in ${store.address}`,
    hint: similar.length === 0 ? 'gantry list shows all exports.' : `Did you mean ${similar.join(' or ')}? gantry list shows all exports.`,
  });
}

/**
 * Instances with exports in a store that a name may refer to: those that have the name without the domain, and those with a similar
 * spelling; at most ten.
 *
 * @throws GantryError `STORE_*`
 */
export function similarInstances(store: Store, instance: string, options: CallOptions = {}): Promise<readonly string[]> {
  return withStoreErrors(store.address, async () => {
    const known = new Set<string>();
    for await (const { key } of store.list('', options)) {
      const place = placeOf(key);
      if (place !== undefined) known.add(place.instance);
    }
    const ofHost = [...known].filter((name) => name.startsWith(`${instance}.`));
    return [...new Set([...ofHost, ...nearestNames(instance, [...known])])].slice(0, MAX_NAMED);
  });
}

function idNotFound(store: Store, instance: string, id: string, directories: readonly ExportDirectory[]): GantryError {
  return new GantryError('EXPORT_NOT_FOUND', {
    message: `there is no export ${formatExportReference(instance, id)} in ${store.address}`,
    details: idsOf(directories),
    hint: 'gantry list shows all exports.',
  });
}

function idsOf(directories: readonly ExportDirectory[]): string[] {
  return directories.slice(-MAX_NAMED).map((directory) => formatExportReference(directory.instance, directory.id));
}
