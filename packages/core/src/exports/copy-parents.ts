import type { CallOptions, Store } from '@gantry/transport';
import { compareExportIds, formatExportReference } from './export-id.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import type { ParentDisk } from './parents.ts';
import { completeExports, manifestIfUsable } from './parents.ts';

/** Of each, the frame map of every disk is held in memory. */
const MAX_PARENTS = 4;

/**
 * The disks of exports at the target of a copy to whose frames it can refer, those that are most like it first: the export before it, the
 * one after it, and those from which most of its frames come.
 *
 * @param uses how many frames of the copied export are in packs of an export, by its id
 * @param passedOver `INSTANCE@EXPORT-ID` of exports that turned out to be unusable
 * @throws StoreError
 */
export async function findCopyParents(
  target: Store,
  manifest: Manifest,
  uses: ReadonlyMap<string, number>,
  { passedOver, signal }: CallOptions & { readonly passedOver: ReadonlySet<string> },
): Promise<readonly ParentDisk[]> {
  const { name: instance } = manifest.instance;
  const ids = (await completeExports(target, instance, { signal })).filter((id) => !passedOver.has(formatExportReference(instance, id)));
  const found: Manifest[] = [];
  for (const id of nearest(ids, manifest.exportId, uses)) {
    const other = await manifestIfUsable(target, { instance, id }, { signal });
    // The frames of a sealed one are for its recipients alone, who need not be able to read the copy.
    if (other !== undefined && other.sealed === undefined) found.push(other);
  }
  return manifest.dumps.flatMap((dump) => parentsOf(dump, found, uses));
}

/** A dump without a frame map must be read to its end to be a parent: only if there is no other, and the disk refers to it. */
function parentsOf({ index, map }: DumpRecord, manifests: readonly Manifest[], uses: ReadonlyMap<string, number>): readonly ParentDisk[] {
  const parents = manifests.flatMap((manifest) => {
    const record = manifest.dumps.find((dump) => dump.index === index);
    return record === undefined || (record.map?.cut ?? 'place') !== map?.cut ? [] : [{ disk: index, manifest, record }];
  });
  const withMap = parents.filter(({ record }) => record.map !== undefined);
  return withMap.length > 0 ? withMap : parents.filter(({ manifest }) => uses.has(manifest.exportId)).slice(0, 1);
}

/** @param ids the newest first */
function nearest(ids: readonly string[], id: string, uses: ReadonlyMap<string, number>): readonly string[] {
  const before = ids.find((other) => compareExportIds(other, id) < 0);
  const after = ids.findLast((other) => compareExportIds(other, id) > 0);
  const used = ids.filter((other) => uses.has(other)).toSorted((a, b) => (uses.get(b) ?? 0) - (uses.get(a) ?? 0));
  const all = [before, after, ...used].flatMap((other) => (other === undefined || other === id ? [] : [other]));
  return [...new Set(all)].slice(0, MAX_PARENTS);
}
