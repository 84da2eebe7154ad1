import { isDeepStrictEqual } from 'node:util';
import { keysNotCopied, keysToCopy, MAX_ALL_KEYS_BYTES, writeKeys } from '../exports/added-keys.ts';
import type { CopiedManifest } from '../exports/copied-manifest.ts';
import type { ExportDirectory } from '../exports/directories.ts';
import { readDirectory } from '../exports/directories.ts';
import { changeLabels, lastLabels, labelsOf } from '../exports/export-labels.ts';
import { keysNumber, labelsNumber, MANIFEST_FILE } from '../exports/layout.ts';
import type { Manifest } from '../exports/manifest.ts';
import { digestText } from '../exports/small-object.ts';
import { sum } from '../system/sum.ts';
import type { CopyWay } from './copy-way.ts';
import { copyIdOf } from './copy-way.ts';

/*
 * What an export got after it was copied: keys that let others read it, and labels.
 */

/**
 * Brings to a copy what its export got since. Keys come besides those that it has. Labels come only where it has none of its own, and if no
 * tag is lost: a store from which exports are copied cannot take away the tags that protect them in another one.
 *
 * @param there the manifest at the target, of the same export
 * @throws GantryError `BUSY`, `EXPORT_NOT_FOUND` if the copy is being removed; StoreError
 */
export async function bringAdded(way: CopyWay, { manifest, labels }: CopiedManifest, there: Manifest): Promise<void> {
  const { source, target, reporter, signal } = way;
  const id = copyIdOf(manifest);
  if (manifest.sealed !== undefined) await bringKeys(way, await readDirectory(source, id, { signal }), there);
  if (labels === undefined || isDeepStrictEqual(labels, labelsOf(there))) return;
  const { tags = [] } = labels;
  const directory = await readDirectory(target, id, { signal });
  if (lastLabels(directory) > 0 || there.tags?.every((tag) => tags.includes(tag)) === false) return;
  await changeLabels(target, { directory, manifest: there }, () => labels, { signal, warn: (message) => reporter.warn(message) });
}

/** Whether an export got keys or labels, as far as its listing shows. */
export function hasAdded({ files }: ExportDirectory): boolean {
  return files.has(MANIFEST_FILE) && [...files.keys()].some((name) => keysNumber(name) > 0 || labelsNumber(name) > 0);
}

/** Whether a copy may lack something that {@link bringAdded} would bring, as far as the listings show. */
export function mayLackAdded(source: ExportDirectory, target: ExportDirectory | undefined): boolean {
  if (target?.files.has(MANIFEST_FILE) !== true) return false;
  if (lastLabels(source) > 0 && lastLabels(target) === 0) return true;
  return [...source.files].some(([name, { size }]) => keysNumber(name) > 0 && target.files.get(name)?.size !== size);
}

async function bringKeys({ source, target, reporter, signal }: CopyWay, directory: ExportDirectory, there: Manifest): Promise<void> {
  if (![...directory.files.keys()].some((name) => keysNumber(name) > 0)) return;
  const has = new Set<string>();
  const inTarget = await readDirectory(target, directory, { signal });
  for await (const { text } of keysToCopy(target, inTarget, { signal })) if (text !== undefined) has.add(digestText(text).sha256);
  let bytes = sum([...inTarget.files].map(([name, { size }]) => (keysNumber(name) > 0 ? size : 0)));
  for await (const found of keysToCopy(source, directory, { signal })) {
    const { key, text } = found;
    if (text === undefined) {
      reporter.warn(keysNotCopied(found));
      continue;
    }
    if (has.has(digestText(text).sha256)) continue;
    const size = Buffer.byteLength(text);
    // Other files each night would fill the target, too.
    if (bytes + size > MAX_ALL_KEYS_BYTES) reporter.warn(keysNotCopied({ key, isOverLimit: true }));
    else {
      await writeKeys(target, there, text, { signal });
      bytes += size;
    }
  }
}
