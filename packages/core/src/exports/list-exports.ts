import type { CallOptions, OwnerState, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { sum } from '../system/sum.ts';
import type { ConfigDescription } from './config-import.ts';
import { codecOfCompression } from './config-import.ts';
import type { ExportDirectory } from './directories.ts';
import { isRemoved, readAllDirectories } from './directories.ts';
import type { Examination } from './examine.ts';
import { examine } from './examine.ts';
import { describeFuture } from './future.ts';
import { formatExportReference, isReferencePart, parseExportId } from './export-id.ts';
import { packKey } from './export-objects.ts';
import { mapFileName, REMOVED_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { isReadByMaps } from './manifest.ts';
import { packProblem, sizeOfPack } from './pack-sources.ts';
import type { PackRecord } from './packs.ts';
import { dumpMissing, sizeProblem } from './open-export.ts';
import { asGantryError } from './store-errors.ts';
import { assertStoreFormat } from './store-marker.ts';

/** How many manifests are read at once. */
const MAX_PARALLEL_READS = 8;

/** One export in a listing. */
export interface ExportSummary {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly instance: string;
  readonly id: string;
  readonly origin: 'gantry' | 'ganeti';
  readonly state: 'complete' | 'unfinished' | 'damaged';
  /** Why it is not complete. */
  readonly reason?: string;
  /** The code of the error that `reason` is of, where it is damaged. */
  readonly code?: GantryErrorCode;
  /** For an unfinished export: whether its process still runs. */
  readonly owner?: OwnerState;
  readonly started?: Date;
  /** A problem although it is complete, such as a start time in the future. */
  readonly warning?: string;
  readonly os?: string;
  /** How many disks have a dump. */
  readonly disks?: number;
  /** How many disks of the instance have none, because only some were exported; absent: all have one. */
  readonly missingDisks?: number;
  readonly plainBytes?: number;
  readonly storedBytes?: number;
  /** As `gantry tag` last changed them. */
  readonly tags?: readonly string[];
  readonly note?: string;
}

/** What is left of an export that was removed: its packs, for as long as other exports refer to them. */
export interface RemovedSummary {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly storedBytes: number;
}

/** One directory of a store, with what it was listed by. */
export type ListedDirectory =
  | {
      readonly kind: 'export';
      readonly summary: ExportSummary;
      readonly directory: ExportDirectory;
      /** Of a Gantry export whose manifest can be read. */
      readonly manifest?: Manifest;
    }
  | { readonly kind: 'removed'; readonly summary: RemovedSummary; readonly directory: ExportDirectory };

/** The fields of a summary that do not identify the export. */
type Details = Omit<ExportSummary, 'reference' | 'instance' | 'id' | 'origin'>;

/**
 * Every export in a store (or of one instance), ordered by instance and age. Damaged ones are listed as such; presence and size of every
 * dump are checked, its contents are not.
 *
 * @throws GantryError `USAGE` for an instance name that is not valid, `STORE_*`
 */
export async function* listExports(store: Store, options: ListOptions = {}): AsyncGenerator<ExportSummary> {
  for await (const found of listWithManifests(store, options)) for (const each of found) if (each.kind === 'export') yield each.summary;
}

type ListOptions = CallOptions & { readonly instance?: string | undefined };

/** {@link listExports} with manifests, and with what is kept of removed exports; all of one instance at a time. @throws as it */
export async function* listWithManifests(store: Store, options: ListOptions = {}): AsyncGenerator<readonly ListedDirectory[]> {
  const { instance, signal = new AbortController().signal } = options;
  if (instance !== undefined && !isReferencePart(instance)) {
    throw new GantryError('USAGE', { message: `${JSON.stringify(instance)} is not a valid instance name` });
  }
  try {
    await assertStoreFormat(store, { signal });
    const packs = new ListedPacks(store);
    for await (const directories of readAllDirectories(store, instance, { signal })) {
      packs.list(directories);
      const found = await sideBySide(directories, MAX_PARALLEL_READS, signal, (directory, signal) =>
        readListed(store, directory, packs, { signal }),
      );
      yield found.flatMap((each) => each ?? []);
    }
  } catch (error) {
    throw asGantryError(error, store.address);
  }
}

/** Undefined if the export was removed after the store listed it. */
async function readListed(
  store: Store,
  directory: ExportDirectory,
  packs: ListedPacks,
  options: CallOptions,
): Promise<ListedDirectory | undefined> {
  if (isRemoved(directory)) {
    const reference = formatExportReference(directory.instance, directory.id);
    return { kind: 'removed', summary: { reference, storedBytes: storedBytes(directory) }, directory };
  }
  try {
    const found = await examine(store, directory, options);
    const listed = { kind: 'export' as const, summary: await summarize(directory, found, packs, options), directory };
    return found.state === 'gantry' ? { ...listed, manifest: found.manifest } : listed;
  } catch (error) {
    if (isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function summarize(directory: ExportDirectory, found: Examination, packs: ListedPacks, options: CallOptions): Promise<ExportSummary> {
  const { instance, id } = directory;
  const started = parseExportId(id)?.started;
  const base = { reference: formatExportReference(instance, id), instance, id, ...(started === undefined ? {} : { started }) };
  switch (found.state) {
    case 'gantry':
      return { ...base, origin: 'gantry', ...(await summarizeManifest(found, directory, packs, options)) };
    case 'ganeti':
      return { ...base, origin: 'ganeti', ...summarizeConfig(found.config, directory, base.reference) };
    case 'unfinished':
      return {
        ...base,
        origin: 'gantry',
        state: 'unfinished',
        reason: found.text,
        owner: found.owner,
        storedBytes: storedBytes(directory),
      };
    case 'damaged':
    default:
      return { ...base, origin: found.origin, state: 'damaged', reason: found.error.message, code: found.error.code };
  }
}

async function summarizeManifest(
  { manifest, labelsProblem }: Extract<Examination, { readonly state: 'gantry' }>,
  { instance: name, id, files }: ExportDirectory,
  packs: ListedPacks,
  options: CallOptions,
): Promise<Details> {
  const { dumps, instance, started, tags, note } = manifest;
  const reference = formatExportReference(name, id);
  const problem = isReadByMaps(manifest)
    ? await firstMapProblem(manifest, files, packs, options)
    : firstProblem(dumps, (dump) => {
        const info = files.get(dump.name);
        if (info === undefined) return dumpMissing(reference, dump);
        const wrong = sizeProblem(dump, info.size);
        return wrong === undefined ? undefined : { code: 'DUMP_DAMAGED', message: `${dump.name} is damaged: ${wrong}` };
      });
  return {
    ...stateOf(problem),
    ...warningOf(new Date(started), files.has(REMOVED_FILE)),
    // A list opens nothing.
    ...(manifest.sealed === undefined ? { os: instance.os } : {}),
    ...disksOf(instance.disks.length, dumps.length),
    plainBytes: sum(dumps.map((dump) => dump.plainBytes)),
    storedBytes: sum(dumps.map((dump) => dump.storedBytes)),
    ...(tags === undefined ? {} : { tags }),
    ...(note === undefined ? {} : { note }),
    ...(labelsProblem === undefined ? {} : { warning: labelsProblem }),
  };
}

/** The first frame map or pack that is not there with its size. */
async function firstMapProblem(
  manifest: Manifest,
  files: ExportDirectory['files'],
  packs: ListedPacks,
  options: CallOptions,
): Promise<Problem | undefined> {
  const { instance, exportId, dumps } = manifest;
  for (const { index, map } of dumps) {
    const file = mapFileName(index, manifest);
    const size = files.get(file)?.size;
    if (size === undefined) return { code: 'MAP_DAMAGED', message: `${file} is missing` };
    if (size !== map?.size) return { code: 'MAP_DAMAGED', message: `${file} is damaged: it has ${size} bytes instead of ${map?.size}` };
    for (const pack of map.packs) {
      const found = await packs.sizeOf(pack, options);
      if (found !== pack.size) return packProblem({ instance: instance.name, exportId, disk: index, packs: map.packs }, pack, found);
    }
  }
  return undefined;
}

/** The packs that were listed with their instance; those of other instances are looked for, each once. */
class ListedPacks {
  readonly #store: Store;
  #instance = '';
  #sizes: ReadonlyMap<string, number> = new Map();
  readonly #others = new Map<string, Promise<number | undefined>>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** What was listed of an instance, before its exports are looked at. */
  list(directories: readonly ExportDirectory[]): void {
    this.#instance = directories[0]?.instance ?? '';
    this.#sizes = new Map(directories.flatMap(({ files }) => [...files.values()].map(({ key, size }) => [key, size])));
  }

  /** Bytes of a pack; undefined if it is not there. */
  sizeOf(pack: PackRecord, options: CallOptions): Promise<number | undefined> | number | undefined {
    const key = packKey(pack);
    if (pack.instance === this.#instance) return this.#sizes.get(key);
    const known = this.#others.get(key) ?? sizeOfPack(this.#store, key, options);
    this.#others.set(key, known);
    return known;
  }
}

function summarizeConfig(config: ConfigDescription, { files }: ExportDirectory, reference: string): Details {
  const dumps = config.disks.flatMap(({ index, dump }) => (dump === undefined ? [] : [{ index, name: dump }]));
  const problem =
    codecProblem(config.compression, reference) ??
    firstProblem(dumps, (dump) => (files.has(dump.name) ? undefined : dumpMissing(reference, dump)));
  return {
    ...stateOf(problem),
    ...(config.timestamp === undefined ? {} : warningOf(config.timestamp)),
    os: config.os,
    ...disksOf(config.disks.length, dumps.length),
    storedBytes: sum(dumps.map(({ name }) => files.get(name)?.size ?? 0)),
  };
}

function disksOf(all: number, dumps: number): Pick<Details, 'disks' | 'missingDisks'> {
  return { disks: dumps, ...(dumps < all ? { missingDisks: all - dumps } : {}) };
}

function warningOf(started: Date, isBeingRemoved = false): Pick<Details, 'started' | 'warning'> {
  const warning = isBeingRemoved
    ? 'it is being removed, or its removal was interrupted: gantry remove finishes it'
    : describeFuture(started);
  return { started, ...(warning === undefined ? {} : { warning }) };
}

/** What is wrong with an export, as a clause. */
type Problem = Pick<GantryError, 'code' | 'message'>;

function stateOf(problem: Problem | undefined): Pick<Details, 'state' | 'reason' | 'code'> {
  return problem === undefined ? { state: 'complete' } : { state: 'damaged', reason: problem.message, code: problem.code };
}

function codecProblem(compression: string, reference: string): Problem | undefined {
  try {
    codecOfCompression(compression, reference);
    return undefined;
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
}

function firstProblem<T>(items: readonly T[], problemOf: (item: T) => Problem | undefined): Problem | undefined {
  for (const item of items) {
    const problem = problemOf(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function storedBytes({ files }: ExportDirectory): number {
  return sum([...files.values()].map(({ size }) => size));
}
