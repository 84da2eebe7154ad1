import { isDeepStrictEqual } from 'node:util';
import type { CallOptions, Store } from '@gantry/transport';
import type { FrameMap } from '../frames/frame-map.ts';
import { readFrameMap } from './frame-maps.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { isReadByMaps } from './manifest.ts';

/** A manifest, and the store in which it is. */
export interface ManifestInStore {
  readonly store: Store;
  readonly manifest: Manifest;
}

/**
 * Whether two exports under one id, each in its store, are the same: made by one run, of the same disks, with the same data. How that is
 * stored may differ. Where one of two dumps has no frame map, and they are stored in different ways, the description of the run decides.
 *
 * @throws GantryError `MAP_DAMAGED`, `STORE_*`
 */
export async function isSameExport(one: ManifestInStore, other: ManifestInStore, options: CallOptions): Promise<boolean> {
  if (!isSameRun(one.manifest, other.manifest)) return false;
  if (one.manifest.sealed !== undefined || other.manifest.sealed !== undefined) return isStoredEqually(one.manifest, other.manifest);
  for (const [place, dump] of one.manifest.dumps.entries()) {
    const same = other.manifest.dumps[place];
    if (same === undefined || !(await hasSameData({ ...one, dump }, { ...other, dump: same }, options))) return false;
  }
  return true;
}

/** Whether two manifests describe the same run of an export. */
export function isSameRun(one: Manifest, other: Manifest): boolean {
  return isDeepStrictEqual(identity(one), identity(other));
}

/** What stays as it is when an export is copied or consolidated. */
function identity({ exportId, started, ended, os, instance, native = [], dumps }: Manifest): unknown {
  const disks = dumps.map(({ index, plainBytes, diskSize, messages, snapshot }) => ({ index, plainBytes, diskSize, messages, snapshot }));
  return { exportId, started, ended, os, instance, native, disks };
}

/** Whether two manifests name the same objects: a sealed export cannot be stored in another way without its keys. */
function isStoredEqually(one: Manifest, other: Manifest): boolean {
  const dumpsOf = ({ dumps }: Manifest): unknown => dumps.map(({ name, storedBytes, sha256, map }) => ({ name, storedBytes, sha256, map }));
  return isDeepStrictEqual(one.sealed, other.sealed) && isDeepStrictEqual(dumpsOf(one), dumpsOf(other));
}

interface DumpInStore extends ManifestInStore {
  readonly dump: DumpRecord;
}

async function hasSameData(one: DumpInStore, other: DumpInStore, options: CallOptions): Promise<boolean> {
  if (isComplete(one) && isComplete(other) && isStoredAlike(one.dump, other.dump)) return one.dump.sha256 === other.dump.sha256;
  // A map names its packs with their SHA-256.
  if (one.dump.map !== undefined && one.dump.map.sha256 === other.dump.map?.sha256) return true;
  const first = await readFrameMap(one.store, one.manifest, one.dump, options);
  const second = await readFrameMap(other.store, other.manifest, other.dump, options);
  return first === undefined || second === undefined || haveSameFrames(first, second);
}

/** Whether the SHA-256 in its record is that of all its data: an export that is read by its maps has only a part of it there. */
function isComplete({ manifest }: DumpInStore): boolean {
  return !isReadByMaps(manifest);
}

function isStoredAlike(one: DumpRecord, other: DumpRecord): boolean {
  const isAlike = one.codec === other.codec && one.level === other.level && one.frameSize === other.frameSize;
  return isAlike && one.frames === other.frames && one.storedBytes === other.storedBytes;
}

function haveSameFrames(one: FrameMap, other: FrameMap): boolean {
  if (one.length !== other.length || one.plainBytes !== other.plainBytes) return false;
  for (const entry of one) {
    const same = other.at(other.indexAt(entry.start) ?? 0);
    if (same === undefined || same.start !== entry.start || same.plainBytes !== entry.plainBytes) return false;
    if (entry.kind === 'zeros' || same.kind === 'zeros') {
      if (entry.kind !== same.kind) return false;
    } else if (!Buffer.from(entry.sha256).equals(same.sha256)) return false;
  }
  return true;
}
