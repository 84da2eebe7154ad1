import type { CallOptions, Store } from '@gantry/transport';
import { keysNotCopied, keysToCopy } from '../exports/added-keys.ts';
import { BroughtPacks, neededPacks } from '../exports/brought-packs.ts';
import { parseClaim, removeClaim } from '../exports/claim.ts';
import { renderExportConfig } from '../exports/config-export.ts';
import type { CopiedManifest } from '../exports/copied-manifest.ts';
import type { CopiedExport } from '../exports/copy-object.ts';
import { copyObject, isInterruption } from '../exports/copy-object.ts';
import { ClaimedPlace } from '../exports/claimed-place.ts';
import type { CopyId, UnclaimedPlace } from '../exports/copy-place.ts';
import { claimCopy, continueCopy, hasBrought, lookAtPlace, otherExport } from '../exports/copy-place.ts';
import { readDirectory } from '../exports/directories.ts';
import { exportPrefix, formatExportReference } from '../exports/export-id.ts';
import type { ExportObject } from '../exports/export-objects.ts';
import { objectsOfOthers, ownObjects } from '../exports/export-objects.ts';
import { renderLabels } from '../exports/export-labels.ts';
import { keepPacks } from '../exports/keep-packs.ts';
import {
  BROUGHT_FILES,
  CONFIG_FILE,
  keysNumber,
  labelsFileName,
  labelsNumber,
  mayBePack,
  SIGNATURE_FILE,
  SUMS_FILE,
} from '../exports/layout.ts';
import type { Manifest } from '../exports/manifest.ts';
import { isReadByMaps } from '../exports/manifest.ts';
import { kindOf } from '../exports/object-kinds.ts';
import { openKnown } from '../exports/open-export.ts';
import { isSameExport } from '../exports/same-export.ts';
import type { FileSum } from '../exports/sha256sums.ts';
import { renderSha256Sums } from '../exports/sha256sums.ts';
import { digestText } from '../exports/small-object.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { GantryError } from '../report/errors.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import { sideBySide } from '../system/side-by-side.ts';
import { bringAdded } from './bring-added.ts';
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
  const found = await withStoreErrors(target.address, () =>
    lookAtPlace(target, id, { canComplete: manifest.sealed !== undefined, signal }),
  );
  if (found.state !== 'export') {
    const byMaps = isCopiedAsItIs(way, copied) ? undefined : await copyByMaps(way, copied, found);
    if (byMaps !== undefined && copied.signature !== undefined)
      way.reporter.warn(
        `the copy of ${reference} is not signed: it is stored in another way than the export, whose signature does not fit it`,
      );
    return byMaps ?? (await copyObjects(way, copied, found));
  }
  const there = { store: target, manifest: found.manifest };
  if (!(await isSameExport({ store: way.source, manifest }, there, { signal }))) throw otherExport(target, reference);
  await withStoreErrors(target.address, async () => {
    if (found.deadClaim !== undefined) await endDeadCopy(target, id, found.deadClaim, { signal });
    await bringAdded(way, copied, found.manifest);
  });
  return { outcome: 'present', sentBytes: 0 };
}

/**
 * Whether the objects of an export are copied as they are, with the packs of others that it needs. Nobody can write a sealed export in
 * another way without its keys; and a copy by frame maps has other packs than the export, so its signature does not fit: that counts for a
 * full export, and where the target takes only signed ones.
 */
function isCopiedAsItIs({ targetSigners }: Pick<CopyWay, 'targetSigners'>, { manifest, signature }: CopiedManifest): boolean {
  if (manifest.sealed !== undefined) return true;
  return signature !== undefined && (targetSigners?.requireSignature === true || !isReadByMaps(manifest));
}

/** What a copy left that was killed when its export was complete: it may have completed one of which packs were there before. */
async function endDeadCopy(target: Store, { instance, id }: CopyId, claim: string, options: CallOptions): Promise<void> {
  const prefix = exportPrefix(instance, id);
  if (parseClaim(claim)?.copies !== undefined)
    await target.remove(
      BROUGHT_FILES.map((name) => `${prefix}${name}`),
      options,
    );
  await removeClaim(target, prefix, claim, options);
}

/**
 * Compares the frame maps of dumps that are complete by themselves with their data: a reader of the copy does not need them, but later
 * exports would take its word for what a frame is. By the SHA-256 in the manifest, these are the bytes that arrive. Those of a sealed
 * export cannot be read here: later exports take the word of their own machine, and who reads it checks each frame. Who reads an export
 * that needs packs of others checks each frame, too, and one that is copied as it is was signed by somebody whom the target accepts.
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
  { manifest, text, signature, reference, labels }: CopiedManifest,
  found: UnclaimedPlace,
): Promise<CopyOutcome> {
  const { source, target, bringsOf, reporter, signal } = way;
  if (manifest.sealed === undefined && !isReadByMaps(manifest)) await checkMaps(way, manifest);
  const id = copyIdOf(manifest);
  const objects = ownObjects(manifest);
  const dumps = objects.filter((object) => kindOf(object) !== 'frames').map(({ name }) => name);
  const needed = neededPacks(manifest);
  // Its packs that are there already are those of a removed export until it is complete: they are claimed, too.
  const own = hasBrought(found) ? [{ ...id, packs: objects.filter(({ name }) => mayBePack(name)) }] : [];
  const parents = [...needed, ...own].map((owner) => formatExportReference(owner.instance, owner.id));
  const request = { ...claimRequest(manifest, dumps), ...(parents.length === 0 ? {} : { parents }), copies: digestText(text).sha256 };
  const options = { signal, warn: (message: string) => reporter.warn(message) };
  return await withStoreErrors(target.address, async () => {
    const storedInAnotherWay = (error: GantryError): GantryError =>
      manifest.sealed === undefined ? signatureLost(target, reference, error) : error;
    await using packs = new BroughtPacks({ source, target, bringsOf, run: request, storedInAnotherWay, ...options });
    await using place =
      (await continueCopy(target, found, request, options)) ??
      new ClaimedPlace(target, {
        ...options,
        instance: id.instance,
        claim: await claimCopy(target, found, request, options),
        brought: own.length > 0,
      });
    reporter.stage(`copying ${reference} to ${target.address}`);
    try {
      for (const each of own) place.adopt(await packs.assertOwn(each));
      await packs.bring(needed);
      const sentBytes = packs.sentBytes + (await sendObjects(way, { source, target, place, ...id }, objects));
      const sums = [...objects, ...(await writeConfig(place, manifest, { signal })), ...objectsOfOthers(manifest)];
      await place.write(SUMS_FILE, renderSha256Sums(sums), { signal });
      // The labels that they were when a dead run copied them.
      await place.forget((name) => labelsNumber(name) > 0, { signal });
      if (labels !== undefined) await place.write(labelsFileName(1), renderLabels(labels), { signal });
      if (signature !== undefined) await place.write(SIGNATURE_FILE, signature, { signal });
      await copyKeys(source, place, manifest, options);
      await keepPacks(target, manifest, { ...options, own: place.earlier() });
      await packs.assertThere([...needed, ...own]);
      await place.commit(text, { signal });
      packs.keep();
      return { outcome: 'copied', sentBytes };
    } catch (error) {
      if (isInterruption(error, signal)) {
        place.keep();
        packs.keep();
      }
      throw error;
    }
  });
}

/** What a copy fails with where one by frame maps, which lost its signature, has the place of packs that it needs. */
function signatureLost(target: Store, reference: string, cause: GantryError): GantryError {
  return new GantryError('SIGNATURE_MISSING', {
    message: `cannot copy ${reference} to ${target.address} with its signature: an export that it shares frames with is stored in another way there`,
    hint: 'Full exports are copied with their signatures, and so are those that share frames with them. Make a full export, or one of this one: gantry consolidate with --sign and --allowed-signers.',
    details: [cause.message],
    cause,
  });
}

/** What lets others read a sealed export. One that is added at the same time may be missed, as labels are. */
async function copyKeys(
  source: Store,
  place: ClaimedPlace,
  { instance, exportId, sealed }: Manifest,
  options: CallOptions & { readonly warn: (message: string) => void },
): Promise<void> {
  await place.forget((name) => keysNumber(name) > 0, options);
  if (sealed === undefined) return;
  const directory = await readDirectory(source, { instance: instance.name, id: exportId }, options);
  for await (const found of keysToCopy(source, directory, options)) {
    if (found.text === undefined) options.warn(keysNotCopied(found));
    else await place.write(found.name, found.text, options);
  }
}

/** A sealed export has none: it would say in the open what is encrypted. */
async function writeConfig(place: ClaimedPlace, manifest: Manifest, options: CallOptions): Promise<readonly FileSum[]> {
  if (manifest.sealed !== undefined) return [];
  const config = renderExportConfig(manifest);
  await place.write(CONFIG_FILE, config, options);
  return [{ name: CONFIG_FILE, sha256: digestText(config).sha256 }];
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
