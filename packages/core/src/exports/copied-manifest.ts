import { isDeepStrictEqual } from 'node:util';
import type { CallOptions, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import { fileOf } from './examine.ts';
import { exportPrefix, GANETI_ID } from './export-id.ts';
import { labelsOf } from './export-labels.ts';
import type { Labels } from './labels.ts';
import { MANIFEST_FILE } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from './manifest.ts';
import { openExport } from './open-export.ts';
import type { Signers } from './signature.ts';
import { asksForSignatures, assertSigners, checkSignature, readSignature } from './signature.ts';
import { readText, UnreadableTextError } from './small-object.ts';
import { asGantryError } from './store-errors.ts';
import { withoutUnsealer } from './unsealing.ts';

/** An export at the source of a copy. Its manifest is checked, and may still lie. */
export interface CopiedManifest {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly manifest: Manifest;
  /** The manifest as it is in the store. */
  readonly text: string;
  /** Its signature, if it has one. */
  readonly signature: string | undefined;
  /** The labels that the export has now, if they are not those of its manifest. */
  readonly labels: Labels | undefined;
  /** What the user should know about the choice of the export. */
  readonly warnings: readonly string[];
}

/**
 * Finds an export that is to be copied.
 *
 * @throws GantryError what `openExport` throws; `USAGE` for an export that Ganeti made
 */
export async function findCopied(source: Store, wanted: string, options: CallOptions): Promise<CopiedManifest> {
  const { reference, instance, id, warnings, manifest } = await openExport(withoutUnsealer(source), wanted, options);
  if (manifest === undefined || id === GANETI_ID) {
    throw new GantryError('USAGE', {
      message: `cannot copy ${reference}: Ganeti made it, and it has no checksums to compare the copy with`,
      hint: 'Import and export it again, or copy its directory with another tool.',
    });
  }
  const text = await readManifestText(source, { instance, id }, options);
  // It may have been replaced since it was opened.
  const copied = parseManifest(text, fileOf({ instance, id }, MANIFEST_FILE));
  if (copied.exportId !== id || copied.instance.name !== instance) {
    throw new GantryError('MANIFEST_DAMAGED', { message: `${fileOf({ instance, id }, MANIFEST_FILE)} belongs to another export` });
  }
  const labels = labelsOf(manifest);
  const signature = await readSignature(source, { reference, instance, id }, options);
  return {
    reference,
    manifest: copied,
    text,
    signature,
    labels: isDeepStrictEqual(labels, labelsOf(copied)) ? undefined : labels,
    warnings,
  };
}

/** Whose signatures are good at the source of a copy, and at its target: an export that one of them refuses is not copied. */
export interface CopySigners extends Signers {
  readonly targetSigners?: Signers | undefined;
}

/**
 * Checks the signature of an export that is to be copied, where anything says who may sign.
 *
 * @throws GantryError `SIGNATURE_MISSING`, `SIGNATURE_INVALID`, `USAGE`, `STORE_*` as `checkSignature`
 */
export async function assertAccepted(
  source: Store,
  { reference, manifest, text }: CopiedManifest,
  { signal, ...signers }: CopySigners & CallOptions,
): Promise<void> {
  const found = { reference, instance: manifest.instance.name, id: manifest.exportId, manifest, manifestText: text };
  for (const each of judgesOf(signers)) await checkSignature(source, found, { ...each, signal });
}

/** What is wrong with what says who may sign, before anything is copied. @throws GantryError `USAGE` as `assertSigners` */
export async function assertCopySigners(signers: CopySigners): Promise<void> {
  for (const each of judgesOf(signers)) await assertSigners(each);
}

/** Of both sides, those that count; once where they are the same. */
export function judgesOf({ allowedSigners, requireSignature, targetSigners = {} }: CopySigners): readonly Signers[] {
  const ofSource = { allowedSigners, requireSignature };
  const ofTarget = { allowedSigners: targetSigners.allowedSigners, requireSignature: targetSigners.requireSignature };
  return (isDeepStrictEqual(ofSource, ofTarget) ? [ofSource] : [ofSource, ofTarget]).filter(asksForSignatures);
}

async function readManifestText(
  source: Store,
  place: { readonly instance: string; readonly id: string },
  options: CallOptions,
): Promise<string> {
  try {
    return await readText(source, `${exportPrefix(place.instance, place.id)}${MANIFEST_FILE}`, MAX_MANIFEST_BYTES, options);
  } catch (error) {
    if (!(error instanceof UnreadableTextError || isStoreError(error, 'not-found'))) throw asGantryError(error, source.address);
    const what = error instanceof UnreadableTextError ? error.message : 'it is missing';
    throw new GantryError('MANIFEST_DAMAGED', { message: `${fileOf(place, MANIFEST_FILE)} is damaged: ${what}`, cause: error });
  }
}
