import type { Store } from '@gantry/transport';
import { sha256OnThread } from '../system/sha256.ts';
import { FrameMap } from '../frames/frame-map.ts';
import type { BaseFrames } from '../frames/frame-patcher.ts';
import { KnownFrames } from '../frames/known-frames.ts';
import type { MemoryBudget } from '../frames/memory-budget.ts';
import { GantryError } from '../report/errors.ts';
import type { MapWithPacks } from './compact-map.ts';
import { joinMaps } from './compact-map.ts';
import { readFrameMap } from './frame-maps.ts';
import type { Manifest } from './manifest.ts';
import { openExport } from './open-export.ts';
import type { PackRecord } from './packs.ts';
import type { ParentDisk } from './parents.ts';
import { packsOfParent, ParentUnusable, referenceOf } from './parents.ts';
import { readDump } from './read-dump.ts';

export interface ParentFramesOptions {
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
  /** Called before a parent without a frame map is read to its end, which takes as long as an import of it. */
  readonly onRead?: ((parent: ParentDisk) => void) | undefined;
}

/** The frames that one disk of a new export need not store again. */
export interface ParentFrames {
  readonly known: KnownFrames;
  /** The packs to which `known` refers by their numbers. */
  readonly packs: readonly PackRecord[];
  /** Of which new frames may be patches. */
  readonly bases?: BaseFrames | undefined;
}

/**
 * The frames of the parents of one disk, the first of which is the one that is most like it, and then of exports that were cut off.
 *
 * @throws ParentUnusable for the first parent that is damaged or cannot be read; the reason of the signal
 */
export async function readParentFrames(
  store: Store,
  { parents, cutOff }: { readonly parents: readonly ParentDisk[]; readonly cutOff: readonly MapWithPacks[] },
  options: ParentFramesOptions,
): Promise<ParentFrames> {
  const maps: MapWithPacks[] = [];
  for (const parent of parents) maps.push(await unusableIfDamaged(parent.manifest, () => mapOf(store, parent, options)));
  const { maps: joined, packs } = joinMaps([...maps, ...cutOff]);
  return { known: new KnownFrames(joined, packs.length), packs };
}

async function mapOf(store: Store, parent: ParentDisk, options: ParentFramesOptions): Promise<MapWithPacks> {
  const packs = packsOfParent(parent);
  const map = await readFrameMap(store, parent.manifest, parent.record, options);
  if (map !== undefined) return { map, packs };
  options.onRead?.(parent);
  return { map: await mapByReading(store, parent, options), packs };
}

/** The frame map of a dump that was made without one. */
async function mapByReading(store: Store, { disk, manifest }: ParentDisk, { budget, signal }: ParentFramesOptions): Promise<FrameMap> {
  const found = await openExport(store, referenceOf(manifest), { signal });
  const dump = found.dumps.find(({ index }) => index === disk);
  if (dump === undefined) throw new RangeError(`${found.reference} has no dump of disk ${disk}`);
  const map = new FrameMap();
  let storedEnd = 0;
  let offset = 0;
  const onProgress = (_plainBytes: number, storedBytes: number): void => {
    offset = storedEnd;
    storedEnd = storedBytes;
  };
  for await (const piece of readDump(found, dump, { budget, signal, onProgress, warn: () => {} })) {
    if (!(piece instanceof Uint8Array)) {
      map.pushZeros(piece.zeros);
      continue;
    }
    const place = { pack: 0, offset, storedBytes: storedEnd - offset };
    map.push({ kind: 'frame', plainBytes: piece.length, sha256: await sha256OnThread(piece), place });
  }
  return map;
}

async function unusableIfDamaged<T>(manifest: Manifest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof GantryError) throw new ParentUnusable(manifest, error.message, { cause: error });
    throw error;
  }
}
