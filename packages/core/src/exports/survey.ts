import type { CallOptions, ObjectInfo, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { sideBySide } from '../system/side-by-side.ts';
import type { ClaimRecord } from './claim.ts';
import { MAX_CLAIM_BYTES, parseClaim } from './claim.ts';
import type { ExportDirectory } from './directories.ts';
import { isCutOff, isRemoved, readAllDirectories } from './directories.ts';
import { examine } from './examine.ts';
import { exportPrefix, formatExportReference, GANETI_ID } from './export-id.ts';
import { packKey } from './export-objects.ts';
import { CLAIM_FILE, FRAMES_FILE, isMapName, MANIFEST_FILE } from './layout.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import type { PackRecord } from './packs.ts';
import { readText, UnreadableTextError } from './small-object.ts';

/** How many directories are looked at at once. */
const MAX_PARALLEL_READS = 8;

/** What a directory of a store means for the packs of others. */
export type Surveyed =
  /** `text`: its manifest as it was read. `labelsProblem`: why its labels are not known, one clause. */
  | {
      readonly state: 'export';
      readonly directory: ExportDirectory;
      readonly manifest: Manifest;
      readonly text: string;
      readonly labelsProblem?: string;
    }
  | { readonly state: 'unfinished'; readonly directory: ExportDirectory; readonly claim: ClaimRecord }
  /** What is left of an export that was removed. */
  | { readonly state: 'removed'; readonly directory: ExportDirectory }
  /** It certainly refers to no pack of another export. `damage`: what is wrong with it, one clause. */
  | { readonly state: 'unrelated'; readonly directory: ExportDirectory; readonly damage?: string }
  /** Nobody knows what it refers to: no pack may go. */
  | { readonly state: 'unclear'; readonly directory: ExportDirectory; readonly why: string };

interface SurveyOptions extends CallOptions {
  /** Directories that are passed over. */
  readonly without?: ((directory: ExportDirectory) => boolean) | undefined;
  /** Whether the manifest must be read although the names of the files show that the export refers to no other. */
  readonly needsManifest?: ((instance: string) => boolean) | undefined;
}

/**
 * Looks at every directory of a store, one instance at a time: what refers to packs, and what is unclear. A claim is looked for before the
 * manifest, because an export writes its manifest before it takes its claim away. An export whose claim was made after the survey began
 * may be missed: see {@link readUsablePacks} for why that does no harm.
 *
 * @throws StoreError where any part of the listing or a file cannot be read
 */
export async function* surveyStore(store: Store, options: SurveyOptions = {}): AsyncGenerator<readonly Surveyed[]> {
  const { without, signal = new AbortController().signal } = options;
  for await (const all of readAllDirectories(store, undefined, { signal })) {
    const directories = all.filter((directory) => without?.(directory) !== true);
    const packs = new SharedPacks();
    yield await sideBySide(directories, MAX_PARALLEL_READS, signal, async (directory, signal) =>
      packs.shared(await surveyDirectory(store, directory, { ...options, signal })),
    );
  }
}

/** The exports of an instance refer to the same packs over and over: in memory, each pack has one record. */
class SharedPacks {
  readonly #known = new Map<string, PackRecord>();

  shared(found: Surveyed): Surveyed {
    if (found.state !== 'export') return found;
    const { manifest } = found;
    return { ...found, manifest: { ...manifest, dumps: manifest.dumps.map((dump) => this.#dump(dump)) } };
  }

  #dump(dump: DumpRecord): DumpRecord {
    const { map } = dump;
    return map === undefined ? dump : { ...dump, map: { ...map, packs: map.packs.map((pack) => this.#pack(pack)) } };
  }

  #pack(pack: PackRecord): PackRecord {
    const key = `${packKey(pack)} ${pack.codec} ${pack.size} ${pack.sha256}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    this.#known.set(key, pack);
    return pack;
  }
}

async function surveyDirectory(store: Store, directory: ExportDirectory, options: SurveyOptions): Promise<Surveyed> {
  const { instance, id, files } = directory;
  if (id === GANETI_ID) return { state: 'unrelated', directory };
  // The next export takes its frames over, or forgets it: until then it stays.
  if (isCutOff(directory)) return { state: 'unrelated', directory };
  if (isRemoved(directory)) return { state: 'removed', directory };
  const needsManifest = options.needsManifest?.(instance) ?? false;
  if (!files.has(MANIFEST_FILE)) return surveyUnfinished(store, directory, options);
  return !needsManifest && isAlone(files) ? { state: 'unrelated', directory } : surveyManifest(store, directory, options);
}

/** An export that has frame tables and no frame maps refers to nothing. */
function isAlone(files: ExportDirectory['files']): boolean {
  return files.has(FRAMES_FILE) && ![...files.keys()].some(isMapName);
}

async function surveyManifest(store: Store, directory: ExportDirectory, options: CallOptions): Promise<Surveyed> {
  try {
    const found = await examine(store, directory, options);
    if (found.state === 'gantry') return { ...found, state: 'export', directory };
    if (found.state === 'damaged')
      return isAlone(directory.files)
        ? { state: 'unrelated', directory, damage: found.error.message }
        : { state: 'unclear', directory, why: found.error.message };
    return { state: 'unclear', directory, why: `${nameOf(directory)} changes while it is looked at` };
  } catch (error) {
    // Somebody removed it meanwhile.
    if (isStoreError(error, 'not-found')) return { state: 'unrelated', directory };
    throw error;
  }
}

/** The listing may have missed a claim that was taken away meanwhile, or a manifest that was written meanwhile: looks again. */
async function surveyUnfinished(store: Store, directory: ExportDirectory, options: CallOptions): Promise<Surveyed> {
  const claim = await lookForClaim(store, directory, options);
  if (claim === 'unreadable') return { state: 'unclear', directory, why: `${CLAIM_FILE} of ${nameOf(directory)} is damaged` };
  if (claim !== 'none') return { state: 'unfinished', directory, claim };
  const files = new Map<string, ObjectInfo>();
  const prefix = exportPrefix(directory.instance, directory.id);
  for await (const info of store.list(prefix, options)) files.set(info.key.slice(prefix.length), info);
  const now = { ...directory, files };
  if (files.has(MANIFEST_FILE)) return surveyManifest(store, now, options);
  // A claim that came just now knows of all marks.
  if (isRemoved(now) || files.has(CLAIM_FILE) || ![...files.keys()].some(isMapName)) return { state: 'unrelated', directory: now };
  return { state: 'unclear', directory: now, why: `${MANIFEST_FILE} of ${nameOf(directory)} is missing` };
}

async function lookForClaim(
  store: Store,
  { instance, id }: ExportDirectory,
  options: CallOptions,
): Promise<ClaimRecord | 'none' | 'unreadable'> {
  try {
    return parseClaim(await readText(store, `${exportPrefix(instance, id)}${CLAIM_FILE}`, MAX_CLAIM_BYTES, options)) ?? 'unreadable';
  } catch (error) {
    if (isStoreError(error, 'not-found')) return 'none';
    if (error instanceof UnreadableTextError) return 'unreadable';
    throw error;
  }
}

function nameOf({ instance, id }: ExportDirectory): string {
  return formatExportReference(instance, id);
}
