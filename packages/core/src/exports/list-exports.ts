import type { CallOptions, OwnerState, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { ConfigDescription } from './config-import.ts';
import { codecOfCompression } from './config-import.ts';
import type { ExportDirectory } from './directories.ts';
import { readDirectories } from './directories.ts';
import { examine } from './examine.ts';
import { describeFuture } from './future.ts';
import { formatExportReference, isReferencePart, parseExportId } from './export-id.ts';
import type { Manifest } from './manifest.ts';
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
  /** For an unfinished export: whether its process still runs. */
  readonly owner?: OwnerState;
  readonly started?: Date;
  /** A problem although it is complete, such as a start time in the future. */
  readonly warning?: string;
  readonly os?: string;
  /** How many disks have a dump. */
  readonly disks?: number;
  readonly plainBytes?: number;
  readonly storedBytes?: number;
}

/** The fields of a summary that do not identify the export. */
type Details = Omit<ExportSummary, 'reference' | 'instance' | 'id' | 'origin'>;

/**
 * Every export in a store (or of one instance), ordered by instance and age. Damaged ones are listed as such; presence and size of every
 * dump are checked, its contents are not.
 *
 * @throws GantryError `USAGE` for an instance name that is not valid, `STORE_*`
 */
export async function* listExports(
  store: Store,
  options: CallOptions & { readonly instance?: string | undefined } = {},
): AsyncGenerator<ExportSummary> {
  const { instance, signal = new AbortController().signal } = options;
  if (instance !== undefined && !isReferencePart(instance)) {
    throw new GantryError('USAGE', { message: `${JSON.stringify(instance)} is not a valid instance name` });
  }
  try {
    await assertStoreFormat(store, { signal });
    for await (const directories of readDirectories(store, instance, { signal })) {
      const summaries = await sideBySide(directories, MAX_PARALLEL_READS, signal, (directory, signal) =>
        summarize(store, directory, { signal }),
      );
      for (const summary of summaries) if (summary !== undefined) yield summary;
    }
  } catch (error) {
    throw asGantryError(error, store.address);
  }
}

/** Undefined if the export was removed after the store listed it. */
async function summarize(store: Store, directory: ExportDirectory, options: CallOptions): Promise<ExportSummary | undefined> {
  const { instance, id } = directory;
  const started = parseExportId(id)?.started;
  const base = { reference: formatExportReference(instance, id), instance, id, ...(started === undefined ? {} : { started }) };
  try {
    const found = await examine(store, directory, options);
    switch (found.state) {
      case 'gantry':
        return { ...base, origin: 'gantry', ...summarizeManifest(found.manifest, directory, base.reference) };
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
        return { ...base, origin: found.origin, state: 'damaged', reason: found.error.message };
    }
  } catch (error) {
    if (isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

function summarizeManifest(manifest: Manifest, { files }: ExportDirectory, reference: string): Details {
  const { dumps, instance, started } = manifest;
  const problem = firstProblem(dumps, (dump) => {
    const info = files.get(dump.name);
    if (info === undefined) return dumpMissing(reference, dump).message;
    const wrong = sizeProblem(dump, info.size);
    return wrong === undefined ? undefined : `${dump.name} is damaged: ${wrong}`;
  });
  return {
    ...stateOf(problem),
    ...warningOf(new Date(started)),
    os: instance.os,
    disks: dumps.length,
    plainBytes: sum(dumps.map((dump) => dump.plainBytes)),
    storedBytes: sum(dumps.map((dump) => dump.storedBytes)),
  };
}

function summarizeConfig(config: ConfigDescription, { files }: ExportDirectory, reference: string): Details {
  const dumps = config.disks.flatMap(({ index, dump }) => (dump === undefined ? [] : [{ index, name: dump }]));
  const problem =
    codecProblem(config.compression, reference) ??
    firstProblem(dumps, (dump) => (files.has(dump.name) ? undefined : dumpMissing(reference, dump).message));
  return {
    ...stateOf(problem),
    ...(config.timestamp === undefined ? {} : warningOf(config.timestamp)),
    os: config.os,
    disks: dumps.length,
    storedBytes: sum(dumps.map(({ name }) => files.get(name)?.size ?? 0)),
  };
}

function warningOf(started: Date): Pick<Details, 'started' | 'warning'> {
  const warning = describeFuture(started);
  return { started, ...(warning === undefined ? {} : { warning }) };
}

function stateOf(problem: string | undefined): Pick<Details, 'state' | 'reason'> {
  return problem === undefined ? { state: 'complete' } : { state: 'damaged', reason: problem };
}

function codecProblem(compression: string, reference: string): string | undefined {
  try {
    codecOfCompression(compression, reference);
    return undefined;
  } catch (error) {
    if (error instanceof GantryError) return error.message;
    throw error;
  }
}

function firstProblem<T>(items: readonly T[], problemOf: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const problem = problemOf(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function storedBytes({ files }: ExportDirectory): number {
  return sum([...files.values()].map(({ size }) => size));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
