import { AgeError } from '@gantry/age/light';
import type { CallOptions, Digest, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { BROUGHT_PART_FILE, SEALED_PART_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { PackDigests } from './pack-digests.ts';
import { exportKeyIn, MAX_SEALED_PART_BYTES, openManifest, sealedPartDamaged } from './sealed-part.ts';
import { UnreadableTextError } from './small-object.ts';
import type { MaybeSealed } from './unsealing.ts';
import { opensSealed, readUnsealed } from './unsealing.ts';

/*
 * What is encrypted of the manifest of a sealed export, and the key in it, read from a store.
 */

/**
 * The whole manifest of a sealed export, where the store is one that opens them (`withUnsealer`); else, and of other exports, what was given.
 *
 * @throws GantryError `MANIFEST_DAMAGED`, `IDENTITY_MISMATCH`; StoreError
 */
export async function openSealedManifest(store: Store, manifest: Manifest, options: CallOptions): Promise<Manifest> {
  if (manifest.sealed === undefined || !opensSealed(store)) return manifest;
  const reference = formatExportReference(manifest.instance.name, manifest.exportId);
  return openManifest(manifest, await readSealedPart(store, manifest, options), reference);
}

/**
 * {@link openSealedManifest}, but what was encrypted to others stays closed: what is in the open says enough for much that is done with
 * an export. What needs the rest calls `assertOpened`.
 */
export async function openWherePossible(
  store: Store,
  manifest: Manifest,
  options: CallOptions,
): Promise<{ readonly manifest: Manifest } & Pick<MaybeSealed, 'mismatch'>> {
  try {
    return { manifest: await openSealedManifest(store, manifest, options) };
  } catch (error) {
    if (error instanceof GantryError && error.code === 'IDENTITY_MISMATCH') return { manifest, mismatch: error };
    throw error;
  }
}

/**
 * The key that reads all files of a sealed export, and was made for it; undefined if it was encrypted with a passphrase.
 *
 * @throws GantryError `MANIFEST_DAMAGED`, `IDENTITY_NEEDED`, `IDENTITY_MISMATCH`; StoreError
 */
export async function readExportKey(store: Store, manifest: Manifest, options: CallOptions): Promise<string | undefined> {
  const { instance, exportId } = manifest;
  const owner = { instance: instance.name, exportId };
  return exportKeyIn(owner, await readSealedPart(store, manifest, options), formatExportReference(owner.instance, exportId));
}

/**
 * {@link readExportKey} of an export that was removed, while packs of it are kept for others, or whose packs alone were brought; undefined
 * also if it was not sealed. Nothing says here which bytes it should be, but that it can be decrypted, and is of that export.
 */
export async function readKeyOfRemoved(
  store: Store,
  owner: { readonly instance: string; readonly exportId: string },
  options: CallOptions,
): Promise<string | undefined> {
  for (const name of [SEALED_PART_FILE, BROUGHT_PART_FILE]) {
    const key = `${exportPrefix(owner.instance, owner.exportId)}${name}`;
    const part = await new PackDigests(store).of(key, options);
    if (part === undefined) continue;
    const reference = formatExportReference(owner.instance, owner.exportId);
    return exportKeyIn(owner, await textOfPart(store, { key, reference, part }, options), reference);
  }
  return undefined;
}

/** The text of the encrypted part of a manifest. @throws as {@link openSealedManifest}, `IDENTITY_NEEDED` */
async function readSealedPart(store: Store, { instance, exportId, sealed }: Manifest, options: CallOptions): Promise<string> {
  if (sealed === undefined) throw new TypeError(`${formatExportReference(instance.name, exportId)} is not sealed`);
  const key = `${exportPrefix(instance.name, exportId)}${SEALED_PART_FILE}`;
  return await textOfPart(store, { key, reference: formatExportReference(instance.name, exportId), part: sealed.part }, options);
}

async function textOfPart(
  store: Store,
  { key, reference, part }: { readonly key: string; readonly reference: string; readonly part: Digest },
  options: CallOptions,
): Promise<string> {
  try {
    const bytes = await readUnsealed(store, key, part, { ...options, maxBytes: MAX_SEALED_PART_BYTES });
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof UnreadableTextError || error instanceof AgeError || error instanceof TypeError)) throw error;
    throw sealedPartDamaged(reference, error.message, error);
  }
}
