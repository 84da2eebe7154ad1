import type { CallOptions, OwnerState, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { claimOwner, claimText, readClaim } from './claim.ts';
import { MAX_CONFIG_BYTES } from './config-ini.ts';
import type { ConfigDescription } from './config-import.ts';
import { parseExportConfig } from './config-import.ts';
import type { ExportDirectory } from './directories.ts';
import { exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { readLaterLabels, withLabels } from './export-labels.ts';
import { CLAIM_FILE, CONFIG_FILE, MANIFEST_FILE, SUMS_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from './manifest.ts';
import { readText, UnreadableTextError } from './small-object.ts';
import { asGantryError } from './store-errors.ts';

/** Of disks that are in thousands of packs. */
const MAX_SUMS_BYTES = 16 * MAX_CONFIG_BYTES;

/** The state of an export. */
export type Examination =
  /**
   * The manifest has the labels that the export has now; `text` is what was read. `labelsProblem`: why those that it got later cannot be
   * read, one clause.
   */
  | { readonly state: 'gantry'; readonly manifest: Manifest; readonly text: string; readonly labelsProblem?: string }
  | { readonly state: 'ganeti'; readonly config: ConfigDescription }
  | { readonly state: 'unfinished'; readonly owner: OwnerState; readonly text: string }
  | { readonly state: 'damaged'; readonly origin: 'gantry' | 'ganeti'; readonly error: GantryError };

/**
 * Determines by its files what a directory in a store is. With a manifest: an export. With a claim: an unfinished export. With neither, but
 * with `config.ini`: an export by Ganeti, unless there is `SHA256SUMS`, which Ganeti does not write: then the manifest is missing.
 */
export async function examine(store: Store, directory: ExportDirectory, options: CallOptions): Promise<Examination> {
  const { files } = directory;
  if (files.has(MANIFEST_FILE)) return examineGantry(store, directory, options);
  if (files.has(CLAIM_FILE) && directory.id !== GANETI_ID) {
    const claim = await readClaim(store, exportPrefix(directory.instance, directory.id), options);
    const owner = await claimOwner(claim);
    return { state: 'unfinished', owner, text: claimText(claim, owner) };
  }
  if (files.has(CONFIG_FILE) && !files.has(SUMS_FILE)) return examineGaneti(store, directory, options);
  return { state: 'damaged', origin: 'gantry', error: manifestMissing(directory) };
}

/**
 * Reads the manifest of an export, which must be in its own place.
 * @throws GantryError `MANIFEST_DAMAGED`, `MANIFEST_VERSION`, `CODEC_UNKNOWN`; StoreError, such as `not-found`
 */
export async function readManifest(store: Store, place: Pick<ExportDirectory, 'instance' | 'id'>, options: CallOptions): Promise<Manifest> {
  return (await readWithText(store, place, options)).manifest;
}

/** As {@link readManifest}, with the text that was read. */
async function readWithText(
  store: Store,
  place: Pick<ExportDirectory, 'instance' | 'id'>,
  options: CallOptions,
): Promise<{ readonly manifest: Manifest; readonly text: string }> {
  const source = fileOf(place, MANIFEST_FILE);
  const text = await readDescription(store, place, MANIFEST_FILE, MAX_MANIFEST_BYTES, options);
  const manifest = parseManifest(text, source);
  assertOwnPlace(manifest, place, source);
  return { manifest, text };
}

/** The name of an export's file in messages. */
export function fileOf({ instance, id }: Pick<ExportDirectory, 'instance' | 'id'>, name: string): string {
  return `${name} of ${formatExportReference(instance, id)}`;
}

async function examineGantry(store: Store, directory: ExportDirectory, options: CallOptions): Promise<Examination> {
  try {
    const { manifest, text } = await readWithText(store, directory, options);
    const { labels, problem } = await readLaterLabels(store, directory, options);
    return { state: 'gantry', text, manifest: withLabels(manifest, labels), ...(problem === undefined ? {} : { labelsProblem: problem }) };
  } catch (error) {
    if (error instanceof GantryError) return { state: 'damaged', origin: 'gantry', error };
    throw error;
  }
}

async function examineGaneti(store: Store, directory: ExportDirectory, options: CallOptions): Promise<Examination> {
  try {
    const text = await readDescription(store, directory, CONFIG_FILE, MAX_CONFIG_BYTES, options);
    return { state: 'ganeti', config: parseExportConfig(text, fileOf(directory, CONFIG_FILE)) };
  } catch (error) {
    if (error instanceof GantryError) return { state: 'damaged', origin: 'ganeti', error };
    throw error;
  }
}

async function readDescription(
  store: Store,
  directory: Pick<ExportDirectory, 'instance' | 'id'>,
  name: string,
  maxBytes: number,
  options: CallOptions,
): Promise<string> {
  try {
    return await readText(store, `${exportPrefix(directory.instance, directory.id)}${name}`, maxBytes, options);
  } catch (error) {
    if (error instanceof UnreadableTextError) throw damaged(directory, name, error.message, error);
    throw error;
  }
}

/**
 * Reads `config.ini` or `SHA256SUMS` of a complete export.
 * @throws GantryError `CONFIG_DAMAGED`, `MANIFEST_DAMAGED` if the file is missing, too large or not text; `STORE_*`
 */
export async function readSideFile(
  store: Store,
  directory: Pick<ExportDirectory, 'instance' | 'id'>,
  name: typeof CONFIG_FILE | typeof SUMS_FILE,
  options: CallOptions,
): Promise<string> {
  try {
    return await readDescription(store, directory, name, name === CONFIG_FILE ? MAX_CONFIG_BYTES : MAX_SUMS_BYTES, options);
  } catch (error) {
    if (isStoreError(error, 'not-found')) throw damaged(directory, name, 'it is missing', error);
    throw asGantryError(error, store.address);
  }
}

function damaged(directory: Pick<ExportDirectory, 'instance' | 'id'>, name: string, what: string, cause: unknown): GantryError {
  const code = name === CONFIG_FILE ? 'CONFIG_DAMAGED' : 'MANIFEST_DAMAGED';
  return new GantryError(code, { message: `${fileOf(directory, name)} is damaged: ${what}`, cause });
}

function assertOwnPlace(manifest: Manifest, directory: Pick<ExportDirectory, 'instance' | 'id'>, source: string): void {
  if (manifest.instance.name === directory.instance && manifest.exportId === directory.id) return;
  const own = formatExportReference(manifest.instance.name, manifest.exportId);
  throw new GantryError('MANIFEST_DAMAGED', {
    message: `${source} belongs to ${own}`,
    hint: `Move the export to ${exportPrefix(manifest.instance.name, manifest.exportId)}, or restore the right manifest.`,
  });
}

function manifestMissing(directory: ExportDirectory): GantryError {
  return new GantryError('MANIFEST_DAMAGED', {
    message: `${fileOf(directory, MANIFEST_FILE)} is missing: the export is being removed, was removed in part, or is damaged`,
    hint: 'gantry remove finishes a removal. If the export is damaged: sha256sum -c SHA256SUMS checks the dumps, and zstd -dc or gzip -dc reads them.',
  });
}
