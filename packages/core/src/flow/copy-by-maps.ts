import type { CopiedManifest } from '../exports/copied-manifest.ts';
import type { UnclaimedPlace } from '../exports/copy-place.ts';
import { claimCopy, lookAtPlace } from '../exports/copy-place.ts';
import { findCopyParents } from '../exports/copy-parents.ts';
import { exportPrefix, formatExportReference } from '../exports/export-id.ts';
import { withLabels } from '../exports/export-labels.ts';
import { readFrameMap } from '../exports/frame-maps.ts';
import { KnownBases } from '../exports/known-bases.ts';
import { withinLimits } from '../exports/lineage-limits.ts';
import { mapFileName, nativeObjectName, packFileName } from '../exports/layout.ts';
import type { DumpRecord, Manifest, MapRecord } from '../exports/manifest.ts';
import { LINEAGE_MANIFEST_VERSION } from '../exports/manifest.ts';
import { readNativeFile } from '../exports/native-file.ts';
import type { MappedDisk } from '../exports/pack-sources.ts';
import { storedPacks } from '../exports/pack-sources.ts';
import type { ParentFrames } from '../exports/parent-frames.ts';
import { readParentFrames } from '../exports/parent-frames.ts';
import type { ParentDisk } from '../exports/parents.ts';
import { confirmParents, parentReferences, ParentUnusable } from '../exports/parents.ts';
import { MAX_MAP_BYTES } from '../exports/packs.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import type { StoreExportWriter } from '../exports/store-sink.ts';
import { openClaimed } from '../exports/store-sink.ts';
import { allowWriteOnly } from '../exports/write-only.ts';
import { codecNamed } from '../frames/codecs/registry.ts';
import type { FindBase } from '../frames/copy-map.ts';
import { copyMap } from '../frames/copy-map.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import { KnownFrames } from '../frames/known-frames.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { placesOf } from '../frames/pack-runs.ts';
import { GantryError } from '../report/errors.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { CopyOutcome, CopyWay } from './copy-way.ts';
import { claimRequest, copyIdOf } from './copy-way.ts';

/** One disk at the source. */
interface CopiedDisk {
  readonly record: DumpRecord & { readonly map: MapRecord };
  readonly map: FrameMap;
}

/** By the indexes of disks. */
type FramesThere = ReadonlyMap<number, ParentFrames>;

const NOTHING_THERE: ParentFrames = { known: new KnownFrames([], 0), packs: [] };

/** A full export becomes one that needs others only if so much of it is there already. */
const MIN_SHARED = 0.1;

/**
 * Copies an export by its frame maps: it refers to the frames that the target has, and the others go into a pack of its own. Undefined if
 * it is better copied as it is: it is complete by itself, and the target has little of it.
 *
 * @throws GantryError as for `copyExport`
 */
export async function copyByMaps(way: CopyWay, copied: CopiedManifest, found: UnclaimedPlace): Promise<CopyOutcome | undefined> {
  const { manifest } = copied;
  const disks = await readDisks(way, manifest);
  if (disks.length < manifest.dumps.length) return undefined;
  const passedOver = new Set<string>();
  for (let place = found; ; place = await lookAgain(way, manifest)) {
    try {
      return await tryToCopy(way, { copied, disks, passedOver }, place);
    } catch (error) {
      if (!(error instanceof ParentUnusable)) throw error;
      passedOver.add(error.reference);
      way.reporter.warn(`${copied.reference} cannot refer to ${error.reference} in ${way.target.address}: ${error.message}`);
    }
  }
}

async function lookAgain({ target, signal }: CopyWay, manifest: Manifest): Promise<UnclaimedPlace> {
  const found = await withStoreErrors(target.address, () => lookAtPlace(target, copyIdOf(manifest), { signal }));
  return found.state === 'export' ? { state: 'free' } : found;
}

/** The disks that have frame maps. */
async function readDisks({ source, signal }: CopyWay, manifest: Manifest): Promise<readonly CopiedDisk[]> {
  assertFitInMemory(manifest);
  const disks: CopiedDisk[] = [];
  for (const record of manifest.dumps) {
    const map = await readFrameMap(source, manifest, record, { signal });
    if (map !== undefined && record.map !== undefined) disks.push({ record: { ...record, map: record.map }, map });
  }
  return disks;
}

/** The frame maps of all disks are held at once, and they come from anybody. */
function assertFitInMemory({ instance, exportId, dumps }: Manifest): void {
  const bytes = dumps.reduce((total, { map }) => total + (map?.size ?? 0), 0);
  if (bytes <= MAX_MAP_BYTES) return;
  throw new GantryError('MAP_DAMAGED', {
    message: `the frame maps of ${formatExportReference(instance.name, exportId)} have ${bytes} bytes together; at most ${MAX_MAP_BYTES} can be copied`,
    hint: 'Copy a full export of this instance.',
  });
}

interface MapsCopy {
  readonly copied: CopiedManifest;
  readonly disks: readonly CopiedDisk[];
  readonly passedOver: ReadonlySet<string>;
}

/** @throws ParentUnusable */
async function tryToCopy(way: CopyWay, copy: MapsCopy, found: UnclaimedPlace): Promise<CopyOutcome | undefined> {
  const { target, reporter, signal } = way;
  const { manifest, reference } = copy.copied;
  return await withStoreErrors(target.address, async () => {
    const parents = await chooseParents(way, copy);
    const frames = await readFrames(way, parents);
    if (manifest.version !== LINEAGE_MANIFEST_VERSION && sharedShare(copy.disks, frames) < MIN_SHARED) return undefined;
    const names = copy.disks.flatMap(({ record: { index, codec } }) => [packFileName(index, codec), mapFileName(index)]);
    const native = (manifest.native ?? []).map(({ name }) => nativeObjectName(name));
    const request = { ...claimRequest(manifest, [...names, ...native]), parents: parentReferences(parents) };
    const options = { signal, warn: (message: string) => reporter.warn(message) };
    const claim = await claimCopy(target, found, request, options);
    await using writer = openClaimed(target, manifest.instance.name, claim, options);
    await confirmParents(target, parents, { signal });
    reporter.stage(`copying ${reference} to ${target.address}`);
    const dumps = await sendDisks(way, manifest, { disks: copy.disks, frames, writer });
    for (const { name } of manifest.native ?? []) await writer.native(await readNative(way, copy.copied, name), { signal });
    const { version: _version, frameTables: _tables, native: _native, ...draft } = withLabels(manifest, copy.copied.labels);
    await writer.commit({ ...draft, dumps }, { signal });
    return { outcome: 'copied', sentBytes: dumps.reduce((total, { storedBytes }) => total + storedBytes, 0) };
  });
}

/** Credentials that may only add exports cannot look for one. */
async function chooseParents({ target, signal }: CopyWay, { copied, disks, passedOver }: MapsCopy): Promise<readonly ParentDisk[]> {
  const options = { passedOver, signal };
  return withinLimits(
    await allowWriteOnly(target, [], () => findCopyParents(target, copied.manifest, usesOf(copied.manifest, disks), options)),
  );
}

/** How many frames are in the packs of each export of the instance, by its id; those from which patches differ count, too. */
function usesOf({ instance }: Manifest, disks: readonly CopiedDisk[]): ReadonlyMap<string, number> {
  const uses = new Map<string, number>();
  for (const { map, record } of disks) {
    for (const entry of map) {
      for (const { pack } of placesOf(entry)) {
        const owner = record.map.packs[pack];
        if (owner?.instance === instance.name) uses.set(owner.exportId, (uses.get(owner.exportId) ?? 0) + 1);
      }
    }
  }
  return uses;
}

/** @throws ParentUnusable */
async function readFrames({ target, signal }: CopyWay, parents: readonly ParentDisk[]): Promise<FramesThere> {
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  const frames = new Map<number, ParentFrames>();
  for (const [disk, own] of Map.groupBy(parents, ({ disk }) => disk))
    frames.set(disk, await readParentFrames(target, { parents: own, cutOff: [] }, { budget, signal }));
  return frames;
}

/** Which share of the data of all disks is known at the target. */
function sharedShare(disks: readonly CopiedDisk[], frames: FramesThere): number {
  let all = 0;
  let shared = 0;
  for (const { record, map } of disks) {
    const { known } = frames.get(record.index) ?? NOTHING_THERE;
    for (const entry of map) {
      if (entry.kind === 'zeros') continue;
      all += entry.plainBytes;
      if (known.find(entry.start, entry.plainBytes, entry.sha256) !== undefined) shared += entry.plainBytes;
    }
  }
  return all === 0 ? 0 : shared / all;
}

interface SendDisks {
  readonly disks: readonly CopiedDisk[];
  readonly frames: FramesThere;
  readonly writer: StoreExportWriter;
}

async function sendDisks(way: CopyWay, manifest: Manifest, { disks, frames, writer }: SendDisks): Promise<readonly DumpRecord[]> {
  const { reporter, parallel, signal } = way;
  const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
  for (const { record } of disks) reporter.disk(record.index, 'waiting', record.plainBytes);
  return await sideBySide(disks, parallel ?? DEFAULT_PARALLEL_DISKS, signal, async (disk, inner) => {
    const there = frames.get(disk.record.index) ?? NOTHING_THERE;
    return await reportPhases(reporter, disk.record.index, () =>
      sendDisk({ ...way, signal: inner }, manifest, { disk, there, writer, budget }),
    );
  });
}

interface SendDisk {
  readonly disk: CopiedDisk;
  readonly there: ParentFrames;
  readonly writer: StoreExportWriter;
  readonly budget: MemoryBudget;
}

async function sendDisk(way: CopyWay, manifest: Manifest, { disk, there, writer, budget }: SendDisk): Promise<DumpRecord> {
  const { source, target, reporter, signal } = way;
  const { frameCrc32: _checksums, map: asked, ...record } = disk.record;
  const owner = { instance: manifest.instance.name, exportId: manifest.exportId, disk: record.index };
  const encoded = copyMap(disk.map, {
    packs: storedPacks(source, { ...owner, packs: asked.packs }),
    known: there.known,
    findBase: findBaseIn(target, there, { ...owner, packs: there.packs }),
    codec: record.codec,
    level: usableLevel(record),
    frameSize: record.frameSize,
    budget,
    signal,
    onProgress: reporter.progressOf(record.index, () => record.plainBytes),
  });
  const name = packFileName(record.index, record.codec);
  await using dump = await writer.dump(name, { map: { disk: record.index, cut: asked.cut, packs: there.packs }, signal });
  return { ...record, name, ...(await dump.write(encoded, { signal })) };
}

function findBaseIn(target: CopyWay['target'], there: ParentFrames, disk: MappedDisk): FindBase {
  return target.capabilities.rangedRead ? new KnownBases(there.known.bases(), storedPacks(target, disk)).find : async () => undefined;
}

/** The level with which the source says that it was compressed, if there is such a level. */
function usableLevel({ codec, level }: Pick<DumpRecord, 'codec' | 'level'>): number | undefined {
  const { levels } = codecNamed(codec);
  if (levels === undefined) return undefined;
  return level !== undefined && level >= levels.lowest && level <= levels.highest ? level : levels.usual;
}

async function readNative({ source, signal }: CopyWay, { reference, manifest }: CopiedManifest, name: string) {
  const prefix = exportPrefix(manifest.instance.name, manifest.exportId);
  return await readNativeFile(source, { reference, prefix, native: manifest.native ?? [] }, name, { signal });
}
