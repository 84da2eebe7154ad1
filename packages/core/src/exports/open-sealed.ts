import { AgeError } from '@gantry/age/light';
import type { CallOptions, Digest, Store } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { PackOwner } from './brought-parts.ts';
import { readBroughtPart } from './brought-parts.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { PARTS_FILE, SEALED_PART_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { PackDigests } from './pack-digests.ts';
import { exportKeyIn, MAX_SEALED_PART_BYTES, openManifest, sealedPartDamaged } from './sealed-part.ts';
import { UnreadableTextError } from './small-object.ts';
import type { MaybeSealed } from './unsealing.ts';
import { opensSealed, readUnsealed, unsealBytes } from './unsealing.ts';

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
 * {@link readExportKey} of an export that was removed, while packs of it are kept for others; undefined also if it was not sealed.
 * Nothing says any more which bytes it should be, but that it can be decrypted, and is of that export.
 */
export async function readKeyOfRemoved(
  store: Store,
  owner: { readonly instance: string; readonly exportId: string },
  options: CallOptions,
): Promise<string | undefined> {
  const part = await new PackDigests(store).of(`${exportPrefix(owner.instance, owner.exportId)}${SEALED_PART_FILE}`, options);
  if (part === undefined) return undefined;
  return exportKeyIn(owner, await unsealPart(store, owner, part, options), formatExportReference(owner.instance, owner.exportId));
}

/**
 * {@link readExportKey} of an export whose packs alone came with the copy of another one, which needs them; undefined if its key did not.
 *
 * @throws GantryError `MANIFEST_DAMAGED`, `IDENTITY_NEEDED`, `IDENTITY_MISMATCH`; StoreError
 */
export async function readKeyOfBrought(store: Store, copy: Manifest, owner: PackOwner, options: CallOptions): Promise<string | undefined> {
  const part = await readBroughtPart(store, copy, owner, options);
  if (part === undefined) return undefined;
  const reference = formatExportReference(owner.instance, owner.exportId);
  const name = `${exportPrefix(copy.instance.name, copy.exportId)}${PARTS_FILE} (${reference})`;
  return exportKeyIn(owner, await textOfPart(reference, () => unsealBytes(store, name, part, options)), reference);
}

/** The text of the encrypted part of a manifest. @throws as {@link openSealedManifest}, `IDENTITY_NEEDED` */
async function readSealedPart(store: Store, { instance, exportId, sealed }: Manifest, options: CallOptions): Promise<string> {
  if (sealed === undefined) throw new TypeError(`${formatExportReference(instance.name, exportId)} is not sealed`);
  return await unsealPart(store, { instance: instance.name, exportId }, sealed.part, options);
}

async function unsealPart(
  store: Store,
  { instance, exportId }: { readonly instance: string; readonly exportId: string },
  part: Digest,
  options: CallOptions,
): Promise<string> {
  const key = `${exportPrefix(instance, exportId)}${SEALED_PART_FILE}`;
  return await textOfPart(formatExportReference(instance, exportId), () =>
    readUnsealed(store, key, part, { ...options, maxBytes: MAX_SEALED_PART_BYTES }),
  );
}

async function textOfPart(reference: string, read: () => Promise<Uint8Array>): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await read());
  } catch (error) {
    if (!(error instanceof UnreadableTextError || error instanceof AgeError || error instanceof TypeError)) throw error;
    throw sealedPartDamaged(reference, error.message, error);
  }
}
