import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { baseFrames } from '../exports/base-frames.ts';
import type { CutOffDisk } from '../exports/cut-off-maps.ts';
import { cutOffReferences, findCutOff } from '../exports/cut-off.ts';
import { formatExportReference } from '../exports/export-id.ts';
import type { FrameCut } from '../exports/frame-cuts.ts';
import type { MappedDisk } from '../exports/pack-sources.ts';
import type { ParentFrames } from '../exports/parent-frames.ts';
import { readParentFrames } from '../exports/parent-frames.ts';
import { exceededLimit } from '../exports/lineage-limits.ts';
import type { ParentDisk, SealedProblem } from '../exports/parents.ts';
import { confirmParents, describeSealed, findParents, parentReferences, ParentUnusable, referenceOf } from '../exports/parents.ts';
import type { Sealing } from '../exports/sealing.ts';
import type { ExportHeader, StoreExportWriter } from '../exports/store-sink.ts';
import { opensSealed } from '../exports/unsealing.ts';
import { readUsablePacks } from '../exports/usable-packs.ts';
import { allowWriteOnly } from '../exports/write-only.ts';
import type { Codec } from '../frames/codecs/registry.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import type { BaseFrames } from '../frames/frame-patcher.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import type { Reporter } from '../report/reporter.ts';
import { isCutByPlace } from '../frames/check-unchanged.ts';
import type { DumpForm } from './dump-forms.ts';
import { firstForm, incrementForm } from './dump-forms.ts';
import type { Opening } from './tee.ts';
import type { TrackedParent } from './track-changes.ts';

export interface IncrementOptions extends Opening {
  /** Of the export, without the names of its dumps. */
  readonly header: ExportHeader;
  readonly disks: readonly number[];
  readonly codec: Codec;
  readonly cut: FrameCut;
  /** How many exports a lineage has at most since its last full one, which counts. */
  readonly fullEvery?: number | undefined;
  /** An export of another instance that is a parent too. */
  readonly base: string | undefined;
  /** If the export is sealed. */
  readonly sealing?: Sealing | undefined;
  /** Whether changed frames are stored as their differences from earlier ones, which are read back; default true. */
  readonly patches?: boolean | undefined;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** An export that refers to what earlier ones have stored, before its first dump. */
export interface OpenedIncrement {
  readonly writer: StoreExportWriter;
  readonly form: DumpForm;
  /** `INSTANCE@EXPORT-ID` of the exports whose frame maps are used; empty if everything is stored. */
  readonly parents: readonly string[];
  /** How many exports of the lineage follow the last full one, with this one; undefined for a full one. */
  readonly sinceFull: number | undefined;
  /** The ids of exports of the instance that were cut off: of no use when this one is complete. */
  readonly cutOff: readonly string[];
  /** SHA-256 of the frame maps of the parents, as they are stored. */
  readonly parentMaps: readonly string[];
  /** Disks whose frames can be found in the map of their parent by place, by their index. */
  readonly parentDisks: ReadonlyMap<number, TrackedParent>;
}

/**
 * Chooses parents, claims an export that names them, and reads their frame maps. A parent that turns out to be unusable is passed over:
 * another one is used, or none.
 *
 * @throws GantryError for a base that cannot be used, `STORE_*`; StoreError; the reason of the signal
 */
export async function openIncrement(options: IncrementOptions): Promise<OpenedIncrement> {
  const passedOver = new Set<string>();
  for (;;) {
    const parents = await chooseParents(options, passedOver);
    const { store, header, signal } = options;
    const request = { instance: header.instance, disks: options.disks, recipients: options.sealing?.recipients };
    const left = await allowWriteOnly(store, undefined, () => findCutOff(store, request, { signal }));
    const found = cutOffWithinLimits(
      parents,
      (left?.disks ?? []).filter((each) => parents.length > 0 || isWithin(each, header.instance, left?.exports ?? [])),
    );
    await using held = new AsyncDisposableStack();
    const writer = held.use(await options.sink.open(headerOf(options, parents, found), options));
    try {
      const cutOff = await usableCutOff(options, found);
      const frames = await readFrames(options, { exportId: writer.id, parents, cutOff });
      const form = formOf(options, frames);
      held.move();
      return {
        writer,
        form,
        parentDisks: trackedParents(options, parents, frames),
        sinceFull: parents.length === 0 ? undefined : sinceFullOf(options, parents) + 1,
        cutOff: left?.exports ?? [],
        parentMaps: parents.flatMap(({ record }) => record.map?.sha256 ?? []),
        parents: [...new Set(parents.map(({ manifest }) => referenceOf(manifest)))],
      };
    } catch (error) {
      if (!(error instanceof ParentUnusable)) throw error;
      passedOver.add(error.reference);
      options.reporter.warn(`${error.reference} cannot be the parent of this export: ${error.message}`);
    }
  }
}

/** Whether what was cut off refers to nothing else: else an export that is to hold everything anew would refer to earlier ones. */
function isWithin({ packs }: CutOffDisk, instance: string, exports: readonly string[]): boolean {
  return packs.every((pack) => pack.instance === instance && exports.includes(pack.exportId));
}

/** Those that can be referred to besides the parents, the first of them. */
function cutOffWithinLimits(parents: readonly ParentDisk[], found: readonly CutOffDisk[]): readonly CutOffDisk[] {
  const taken: CutOffDisk[] = [];
  for (const each of found) if (exceededLimit(parents, [...taken, each]) === undefined) taken.push(each);
  return taken;
}

/** Those whose packs are all there, and stay. */
async function usableCutOff({ store, reporter, signal }: IncrementOptions, found: readonly CutOffDisk[]): Promise<readonly CutOffDisk[]> {
  if (found.length === 0) return [];
  const instances = found.flatMap(({ packs }) => packs.map(({ instance }) => instance));
  const packs = await readUsablePacks(store, instances, { signal });
  const usable = found.filter((each) => each.packs.every((pack) => packs.has(pack)));
  for (const { disk, instance, exportId } of usable)
    reporter.stage(`disk ${disk}: going on with what ${formatExportReference(instance, exportId)}, which was cut off, has stored`);
  return usable;
}

function trackedParents(
  { header: { instance }, disks }: IncrementOptions,
  parents: readonly ParentDisk[],
  frames: ReadonlyMap<number, ParentFrames> = new Map(),
): OpenedIncrement['parentDisks'] {
  const tracked = new Map<number, TrackedParent>();
  for (const disk of disks) {
    const parent = parents.find((each) => each.disk === disk && each.manifest.instance.name === instance);
    const map = frames.get(disk)?.known.first;
    const record = parent?.record;
    if (parent === undefined || map === undefined || record?.map?.cut !== 'place' || !isCutByPlace(map, record.frameSize)) continue;
    tracked.set(disk, { reference: referenceOf(parent.manifest), map, sha256: record.map.sha256, frameSize: record.frameSize });
  }
  return tracked;
}

/** How many exports of the lineage have been made since the last full one. */
function sinceFullOf({ header: { instance } }: IncrementOptions, parents: readonly ParentDisk[]): number {
  const own = parents.filter(({ manifest }) => manifest.instance.name === instance);
  return Math.max(0, ...own.map(({ manifest }) => manifest.sinceFull ?? 0));
}

/** Credentials that may only add exports cannot look for one. */
async function chooseParents(options: IncrementOptions, passedOver: ReadonlySet<string>): Promise<readonly ParentDisk[]> {
  const { store, header, disks, cut, base, sealing, fullEvery = Infinity, reporter, signal } = options;
  const problems = new Map<SealedProblem, string>();
  const onSealed = (reference: string, why: SealedProblem): void => void (problems.has(why) || problems.set(why, reference));
  const request = { instance: header.instance, disks, cut, base, passedOver, recipients: sealing?.recipients, onSealed };
  const found = await allowWriteOnly(store, undefined, () => findParents(store, request, { signal }));
  if (found === undefined) reporter.warn('cannot read earlier exports (permission denied): everything is stored again');
  const parents = found ?? [];
  const exports = sinceFullOf(options, parents) + 1;
  if (parents.length > 0 && exports >= fullEvery) {
    reporter.stage(`a full export is due: the lineage has ${exports} exports`);
    return [];
  }
  const exceeded = exceededLimit(parents);
  if (exceeded !== undefined) {
    reporter.stage(`a full export is due: this one would refer to ${exceeded}`);
    return [];
  }
  const alone = disks.filter((disk) => !parents.some((parent) => parent.disk === disk));
  if (alone.length > 0) saySealed(reporter, alone, problems);
  if (found !== undefined && alone.length > 0 && passedOver.size > 0) {
    reporter.warn(`no other export can be the parent of disk ${alone.join(', ')}: everything of it is stored again`);
  }
  return parents;
}

/** That the recipients have changed is meant; that maps are lost or parts are damaged is not. */
function saySealed(reporter: Reporter, disks: readonly number[], problems: ReadonlyMap<SealedProblem, string>): void {
  for (const [problem, reference] of problems) {
    const message = `everything of disk ${disks.join(', ')} is stored again: of ${reference}, ${describeSealed(problem)}`;
    if (problem === 'readers') reporter.stage(message);
    else reporter.warn(message);
  }
}

function headerOf(
  { header, disks, codec, cut, sealing }: IncrementOptions,
  parents: readonly ParentDisk[],
  cutOff: readonly CutOffDisk[],
): ExportHeader {
  // What was cut off may turn out to be of no use: then an export without parents is complete by itself.
  const forms = [...(parents.length === 0 ? [undefined] : []), ...(parents.length + cutOff.length === 0 ? [] : [new Map()])];
  const names = forms.flatMap((frames) => disks.flatMap(formOf({ codec, cut, sealing }, frames).namesOf));
  const references = [...new Set([...parentReferences(parents), ...cutOffReferences(cutOff)])];
  return { ...header, dumps: [...new Set([...names, ...(header.dumps ?? [])])], parents: references };
}

/** The first export of a lineage is complete by itself if its disks are cut by place: then every version of Gantry reads it. */
function formOf(
  { codec, cut, sealing: sealed }: Pick<IncrementOptions, 'codec' | 'cut' | 'sealing'>,
  frames: ReadonlyMap<number, ParentFrames> | undefined,
): DumpForm {
  return frames === undefined && cut === 'place'
    ? firstForm(codec, { sealed })
    : incrementForm(codec, cut, frames ?? new Map(), { sealed });
}

/** @throws ParentUnusable */
async function readFrames(
  options: IncrementOptions,
  {
    exportId,
    parents,
    cutOff,
  }: { readonly exportId: string; readonly parents: readonly ParentDisk[]; readonly cutOff: readonly CutOffDisk[] },
): Promise<ReadonlyMap<number, ParentFrames> | undefined> {
  const { store, disks, reporter, signal } = options;
  if (parents.length + cutOff.length === 0) return undefined;
  await confirmParents(store, parents, { signal });
  await options.others?.((other) => assertSameParents(options, { parents, cutOff }, other));
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const onRead = ({ disk, manifest }: ParentDisk): void =>
    reporter.stage(`reading disk ${disk} of ${referenceOf(manifest)}, which has no frame map: this is needed once`);
  const frames = new Map<number, ParentFrames>();
  for (const disk of disks) {
    const own = parents.filter((parent) => parent.disk === disk);
    const left = cutOff.filter((each) => each.disk === disk);
    if (own.length + left.length === 0) continue;
    const found = await readParentFrames(store, { parents: own, cutOff: left }, { budget, signal, onRead });
    frames.set(disk, { ...found, bases: basesOf(options, { instance: options.header.instance, exportId, disk, ...found }) });
  }
  return frames;
}

/**
 * Another store can have the export only if what this one refers to is the same there: dumps of one name may differ, as where one was
 * copied.
 *
 * @throws StoreError `unsupported`
 */
async function assertSameParents(
  { store, signal }: IncrementOptions,
  { parents, cutOff }: { readonly parents: readonly ParentDisk[]; readonly cutOff: readonly CutOffDisk[] },
  other: Store,
): Promise<void> {
  const lacks = (reference: string, why = ''): StoreError =>
    new StoreError('unsupported', {
      message: `it does not have ${reference} as ${store.address} has it${why}`,
      hint: 'A copy of the export has what it needs.',
    });
  const [left] = cutOff;
  if (left !== undefined) throw lacks(formatExportReference(left.instance, left.exportId), ' (it was cut off)');
  try {
    await confirmParents(other, parents, { signal });
  } catch (error) {
    throw error instanceof ParentUnusable ? lacks(error.reference) : error;
  }
}

function basesOf(
  { store, codec, sealing, patches = true, reporter }: IncrementOptions,
  { known, ...disk }: MappedDisk & ParentFrames,
): BaseFrames | undefined {
  const isSealed = sealing !== undefined;
  // A host that cannot read its exports stores each changed frame whole.
  if (!patches || (isSealed && !opensSealed(store))) return undefined;
  const onFailure = (problem: string): void =>
    reporter.warn(`cannot read ${problem}: from here on, changed frames are stored whole`, disk.disk);
  return baseFrames(store, { disk: { ...disk, isSealed }, known, codec, onFailure });
}
