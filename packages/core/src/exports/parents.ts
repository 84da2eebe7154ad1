import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { FRAME_SIZE } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import { readDirectories } from './directories.ts';
import { readManifest } from './examine.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { packKey } from './export-objects.ts';
import type { FrameCut } from './frame-cuts.ts';
import { MANIFEST_FILE, mapFileName, SEALED_PART_FILE } from './layout.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { openExport } from './open-export.ts';
import { openSealedManifest } from './open-sealed.ts';
import { orNothing } from './or-nothing.ts';
import type { PackRecord } from './packs.ts';
import { haveSameReaders } from './same-readers.ts';
import { hasKept, opensSealed, withoutUnsealer } from './unsealing.ts';
import { readUsablePacks } from './usable-packs.ts';

/** A disk of an earlier export, to whose frames a new one may refer. */
export interface ParentDisk {
  /** The disk's index, in both. */
  readonly disk: number;
  readonly manifest: Manifest;
  readonly record: DumpRecord;
}

export interface ParentRequest {
  readonly instance: string;
  /** The disks that need parents. */
  readonly disks: readonly number[];
  /** How the new export is cut: one that was cut otherwise shares no frames with it. */
  readonly cut: FrameCut;
  /** The recipients of the new export, if it is sealed; its parents must have the same ones. */
  readonly recipients?: readonly string[] | undefined;
  /** An export of another instance that is a parent too. */
  readonly base?: string | undefined;
  /** `INSTANCE@EXPORT-ID` of exports that turned out to be unusable. */
  readonly passedOver: ReadonlySet<string>;
  /** Called with each export that has wanted disks, and cannot be used because of how it is encrypted, or the new one. */
  readonly onSealed?: ((reference: string, why: SealedProblem) => void) | undefined;
}

/**
 * `readers`: it has other recipients, or a passphrase. `map`: this machine cannot read its frame maps, and has not kept them for these
 * recipients. `part`: what is encrypted of its manifest does not fit the rest.
 */
export type SealedProblem = 'readers' | 'map' | 'part';

/** How many exports are looked at for the disks that newer ones lack. */
const MAX_EXAMINED = 20;

/**
 * For each disk the newest complete export of the instance that has it, and then the disk of `base`.
 *
 * @throws GantryError for a `base` that cannot be used; StoreError
 */
export async function findParents(store: Store, request: ParentRequest, options: CallOptions): Promise<readonly ParentDisk[]> {
  return [...(await ownParents(store, request, options)), ...(await baseParents(store, request, options))];
}

async function ownParents(
  store: Store,
  { instance, disks, passedOver, ...form }: ParentRequest,
  options: CallOptions,
): Promise<readonly ParentDisk[]> {
  const found = new Map<number, ParentDisk>();
  let examined = 0;
  for (const id of await completeExports(store, instance, options)) {
    if (found.size === disks.length || examined === MAX_EXAMINED) break;
    if (passedOver.has(formatExportReference(instance, id))) continue;
    examined += 1;
    const manifest = await manifestIfUsable(store, { instance, id }, options);
    const missing = disks.filter((disk) => !found.has(disk));
    for (const parent of manifest === undefined ? [] : await readableDisks(store, manifest, missing, form, options))
      found.set(parent.disk, parent);
  }
  return [...found.values()];
}

/** The ids of the exports of an instance that have a manifest, the newest first. */
export async function completeExports(store: Store, instance: string, options: CallOptions): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const directories of orNothing(readDirectories(store, instance, options)))
    for (const { id, files } of directories) if (files.has(MANIFEST_FILE)) ids.push(id);
  return ids.toReversed();
}

/** A damaged one is passed over here: `gantry list` says what is wrong with it. */
export async function manifestIfUsable(
  store: Store,
  place: { readonly instance: string; readonly id: string },
  options: CallOptions,
): Promise<Manifest | undefined> {
  try {
    return await readManifest(store, place, options);
  } catch (error) {
    if (error instanceof GantryError || isStoreError(error, 'not-found')) return undefined;
    throw error;
  }
}

async function baseParents(
  store: Store,
  { base, disks, passedOver, ...form }: ParentRequest,
  options: CallOptions,
): Promise<readonly ParentDisk[]> {
  if (base === undefined || passedOver.has(base)) return [];
  // As it is in the open, as those of the instance itself are: `confirmParents` compares it with what is there then.
  const { manifest, reference } = await openExport(withoutUnsealer(store), base, options);
  if (passedOver.has(reference)) return [];
  const problems: SealedProblem[] = [];
  const onSealed: ParentRequest['onSealed'] = (_reference, why) => problems.push(why);
  const parents = manifest === undefined ? [] : await readableDisks(store, manifest, disks, { ...form, onSealed }, options);
  if (parents.length > 0) return parents;
  const [problem] = problems;
  if (problem !== undefined) {
    throw new GantryError('USAGE', {
      message: `${reference} cannot be the base of this export: ${describeSealed(problem)}`,
      hint: 'Use an export for the same recipients, made on this host, or give an identity of one of them.',
    });
  }
  throw new GantryError('USAGE', {
    message: `${reference} cannot be the base of this export: it has no disk whose frames could be the same`,
    hint: 'A base is an export by Gantry with the same disk numbers, from the same kind of OS definition: raw, or one with scripts.',
  });
}

/** Why an export cannot be a parent: one clause. */
export function describeSealed(problem: SealedProblem): string {
  return WHY[problem];
}

const WHY: Readonly<Record<SealedProblem, string>> = {
  readers: 'it is not encrypted to the same recipients',
  map: 'this host cannot read its frame maps, and has not kept them in its state directory for these recipients',
  part: `its ${SEALED_PART_FILE} is damaged, or does not belong to its ${MANIFEST_FILE}`,
};

/** The disks of an export that can be parents here. */
async function readableDisks(
  store: Store,
  manifest: Manifest,
  disks: readonly number[],
  { cut, recipients, onSealed }: Pick<ParentRequest, 'cut' | 'recipients' | 'onSealed'>,
  options: CallOptions,
): Promise<readonly ParentDisk[]> {
  const possible = disksOf(manifest, disks, cut);
  const haveOthers = !haveSameReaders(manifest.sealed?.recipients, recipients);
  if (haveOthers && possible.length > 0) onSealed?.(referenceOf(manifest), 'readers');
  if (haveOthers) return [];
  const readable: ParentDisk[] = [];
  for (const parent of possible) {
    const problem = await problemOfMap(store, parent, options);
    if (problem === undefined) readable.push(parent);
    else onSealed?.(referenceOf(manifest), problem);
  }
  return readable;
}

/** The recipients in the open can be changed by who writes to the store: they count as far as the kept map or the encrypted part has them. */
async function problemOfMap(
  store: Store,
  { disk, manifest, record: { map } }: ParentDisk,
  options: CallOptions,
): Promise<SealedProblem | undefined> {
  if (manifest.sealed === undefined) return undefined;
  const key = `${exportPrefix(manifest.instance.name, manifest.exportId)}${mapFileName(disk, manifest)}`;
  if (map !== undefined && (await hasKept(store, key, map))) return undefined;
  return opensSealed(store) ? await problemOfPart(store, manifest, options) : 'map';
}

async function problemOfPart(store: Store, manifest: Manifest, options: CallOptions): Promise<SealedProblem | undefined> {
  try {
    await openSealedManifest(store, manifest, options);
    return undefined;
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    if (error.code === 'MANIFEST_DAMAGED') return 'part';
    if (error.code === 'IDENTITY_MISMATCH') return 'map';
    throw error;
  }
}

/** The disks of an export that are cut into frames in the same way. */
function disksOf(manifest: Manifest, disks: readonly number[], cut: FrameCut): readonly ParentDisk[] {
  return manifest.dumps
    .filter(
      ({ index, map, frameSize }) =>
        disks.includes(index) && (map?.cut ?? 'place') === cut && (cut === 'content' || frameSize === FRAME_SIZE),
    )
    .map((record) => ({ disk: record.index, manifest, record }));
}

/** `INSTANCE@EXPORT-ID` of every export whose packs may be referred to: the parents, and those on which they rest. */
export function parentReferences(parents: readonly ParentDisk[]): readonly string[] {
  const references = parents.flatMap((parent) => [
    referenceOf(parent.manifest),
    ...packsOfParent(parent).map(({ instance, exportId }) => formatExportReference(instance, exportId)),
  ]);
  return [...new Set(references)];
}

/** The packs in which the frames of a parent are: without a frame map, its dump alone. */
export function packsOfParent({ manifest, record }: ParentDisk): readonly PackRecord[] {
  const { map, name, codec, storedBytes: size, sha256 } = record;
  return map?.packs ?? [{ instance: manifest.instance.name, exportId: manifest.exportId, name, codec, size, sha256 }];
}

/** Thrown for an export that cannot be a parent; the others can. */
export class ParentUnusable extends Error {
  override readonly name = 'ParentUnusable';
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;

  /** @param message why: one clause */
  constructor(manifest: Manifest, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reference = referenceOf(manifest);
  }
}

/**
 * Checks that parents are still what they were when they were chosen, with all their packs. To be called after the claim that names them:
 * who removes an export takes its manifest away first, and then looks for claims, so that one of the two sees the other.
 *
 * @throws ParentUnusable for the first that is not; StoreError
 */
export async function confirmParents(store: Store, parents: readonly ParentDisk[], options: CallOptions): Promise<void> {
  for (const manifest of new Set(parents.map((parent) => parent.manifest))) {
    const now = await manifestIfUsable(store, { instance: manifest.instance.name, id: manifest.exportId }, options);
    if (now === undefined) throw new ParentUnusable(manifest, 'it was removed meanwhile');
    if (JSON.stringify(now.dumps) !== JSON.stringify(manifest.dumps)) throw new ParentUnusable(manifest, 'it was replaced meanwhile');
  }
  const packs = parents.flatMap((parent) => packsOfParent(parent).map((pack) => ({ manifest: parent.manifest, pack })));
  const usable = await readUsablePacks(
    store,
    packs.map(({ pack }) => pack.instance),
    options,
  );
  const wrong = packs.find(({ pack }) => !usable.has(pack));
  if (wrong !== undefined) {
    throw new ParentUnusable(wrong.manifest, `${packKey(wrong.pack)} is missing, has another size, or is being removed`);
  }
}

/** `INSTANCE@EXPORT-ID`. */
export function referenceOf({ instance, exportId }: Pick<Manifest, 'instance' | 'exportId'>): string {
  return formatExportReference(instance.name, exportId);
}
