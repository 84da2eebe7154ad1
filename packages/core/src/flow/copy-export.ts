import { removeClaim } from '../exports/claim.ts';
import { renderExportConfig } from '../exports/config-export.ts';
import type { CopiedManifest } from '../exports/copied-manifest.ts';
import type { CopiedExport } from '../exports/copy-object.ts';
import { copyObject, isInterruption, kindOf } from '../exports/copy-object.ts';
import { ClaimedPlace } from '../exports/claimed-place.ts';
import type { UnclaimedPlace } from '../exports/copy-place.ts';
import { claimCopy, continueCopy, lookAtPlace, otherExport } from '../exports/copy-place.ts';
import { exportPrefix } from '../exports/export-id.ts';
import type { ExportObject } from '../exports/export-objects.ts';
import { ownObjects } from '../exports/export-objects.ts';
import { renderLabels } from '../exports/export-labels.ts';
import { CONFIG_FILE, labelsFileName, labelsNumber, SUMS_FILE } from '../exports/layout.ts';
import type { Manifest } from '../exports/manifest.ts';
import { openKnown } from '../exports/open-export.ts';
import { isSameExport } from '../exports/same-export.ts';
import { renderSha256Sums } from '../exports/sha256sums.ts';
import { digestText } from '../exports/small-object.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { copyByMaps } from './copy-by-maps.ts';
import type { CopyOutcome, CopyWay } from './copy-way.ts';
import { claimRequest, copyIdOf } from './copy-way.ts';
import { verifyDumps } from './verify-dumps.ts';
import { sum } from '../system/sum.ts';

/**
 * Copies one export. It becomes visible at the target when everything has arrived and was compared with the digests of its manifest. If the
 * run is interrupted, what has arrived waits for the next run; after any other failure nothing is left of it.
 *
 * @throws GantryError `EXPORT_EXISTS` if there is another one under its id; `BUSY`; damage at the source; `STORE_*` of either store
 */
export async function copyExport(way: CopyWay, copied: CopiedManifest): Promise<CopyOutcome> {
  const { target, signal } = way;
  const { manifest, reference } = copied;
  const id = copyIdOf(manifest);
  const found = await withStoreErrors(target.address, () => lookAtPlace(target, id, { signal }));
  if (found.state !== 'export') return (await copyByMaps(way, copied, found)) ?? (await copyObjects(way, copied, found));
  const there = { store: target, manifest: found.manifest };
  if (!(await isSameExport({ store: way.source, manifest }, there, { signal }))) throw otherExport(target, reference);
  const { deadClaim } = found;
  if (deadClaim !== undefined) {
    await withStoreErrors(target.address, () => removeClaim(target, exportPrefix(id.instance, id.id), deadClaim, { signal }));
  }
  return { outcome: 'present', sentBytes: 0 };
}

/**
 * Compares the frame maps of dumps that are complete by themselves with their data: a reader of the copy does not need them, but later
 * exports would take its word for what a frame is. By the SHA-256 in the manifest, these are the bytes that arrive.
 *
 * @throws GantryError `MAP_DAMAGED`, or other damage of the dumps that have a map
 */
async function checkMaps({ source, target, reporter, parallel, signal }: CopyWay, manifest: Manifest): Promise<void> {
  const found = openKnown(source, manifest);
  const mapped = found.dumps.filter(({ record }) => record?.map !== undefined);
  if (mapped.length === 0) return;
  reporter.stage(`checking ${found.reference} before it is copied to ${target.address}`);
  await verifyDumps(found, mapped, { reporter, signal, parallel });
}

/** Copies an export whose objects stay as they are. */
async function copyObjects(
  way: CopyWay,
  { manifest, text, reference, labels }: CopiedManifest,
  found: UnclaimedPlace,
): Promise<CopyOutcome> {
  const { source, target, reporter, signal } = way;
  await checkMaps(way, manifest);
  const id = copyIdOf(manifest);
  const objects = ownObjects(manifest);
  const dumps = objects.filter((object) => kindOf(object) !== 'frames').map(({ name }) => name);
  const request = { ...claimRequest(manifest, dumps), copies: digestText(text).sha256 };
  const options = { signal, warn: (message: string) => reporter.warn(message) };
  return await withStoreErrors(target.address, async () => {
    await using place =
      (await continueCopy(target, found, request, options)) ??
      new ClaimedPlace(target, { ...options, instance: id.instance, claim: await claimCopy(target, found, request, options) });
    reporter.stage(`copying ${reference} to ${target.address}`);
    try {
      const sentBytes = await sendObjects(way, { source, target, place, ...id }, objects);
      const config = renderExportConfig(manifest);
      await place.write(CONFIG_FILE, config, { signal });
      await place.write(SUMS_FILE, renderSha256Sums([...objects, { name: CONFIG_FILE, sha256: digestText(config).sha256 }]), { signal });
      // The labels that they were when a dead run copied them.
      await place.forget((name) => labelsNumber(name) > 0, { signal });
      if (labels !== undefined) await place.write(labelsFileName(1), renderLabels(labels), { signal });
      await place.commit(text, { signal });
      return { outcome: 'copied', sentBytes };
    } catch (error) {
      if (isInterruption(error, signal)) place.keep();
      throw error;
    }
  });
}

/** @returns how many bytes were sent */
async function sendObjects(way: CopyWay, copied: CopiedExport, objects: readonly ExportObject[]): Promise<number> {
  const { reporter, parallel, signal } = way;
  const dumps = objects.filter((object) => kindOf(object) === 'dump');
  for (const { disk = 0, size } of dumps) reporter.disk(disk, 'waiting', size);
  const sent = await sideBySide(dumps, parallel ?? DEFAULT_PARALLEL_DISKS, signal, async (object, signal) => {
    const { disk = 0, size } = object;
    const tell = reporter.progressOf(disk, () => size);
    return await reportPhases(reporter, disk, async () => {
      const bytes = await copyObject(copied, object, { signal, onProgress: (at) => tell(at, at, at === size) });
      tell(size, size, true);
      return bytes;
    });
  });
  for (const object of objects) if (kindOf(object) !== 'dump') sent.push(await copyObject(copied, object, { signal }));
  return sum(sent);
}
