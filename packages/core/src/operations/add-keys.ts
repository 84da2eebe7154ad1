import type { Recipients } from '@gantry/age';
import { AgeError } from '@gantry/age/light';
import type { CallOptions, Store } from '@gantry/transport';
import type { ExportKey } from '../exports/added-keys.ts';
import { sealKeys, writeKeys } from '../exports/added-keys.ts';
import { exportPrefix, formatExportReference } from '../exports/export-id.ts';
import { packsOfOthers } from '../exports/export-objects.ts';
import { readFrameMap } from '../exports/frame-maps.ts';
import { readRecipients } from '../exports/key-files.ts';
import { loadAge } from '../exports/load-age.ts';
import type { Manifest } from '../exports/manifest.ts';
import { openExport } from '../exports/open-export.ts';
import { readExportKey, readKeyOfRemoved } from '../exports/open-sealed.ts';
import { manifestIfUsable } from '../exports/parents.ts';
import type { Signers } from '../exports/signature.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { assertOpened } from '../exports/unsealing.ts';
import { startCall } from '../flow/session.ts';
import { checkSigned } from '../flow/signed-import.ts';
import { GantryError } from '../report/errors.ts';
import { withFirstError } from '../report/first-error.ts';
import type { OperationOptions } from '../report/reporter.ts';

export interface AddKeysRequest extends Pick<OperationOptions, 'signal' | 'onEvent'>, Signers {
  /** With identities that open the exports: `withUnsealer`. The caller disposes it. */
  readonly store: Store;
  /** `INSTANCE` (the newest complete export) or `INSTANCE@EXPORT-ID`. */
  readonly exports: readonly string[];
  /** Who can read them too, such as `age1…`. */
  readonly recipients?: readonly string[] | undefined;
  /** Files with such recipients, as `age -R` takes them. */
  readonly recipientsFiles?: readonly string[] | undefined;
}

/** Keys that were added to one export. */
export interface AddedKeys {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  /** The name of the file in its directory. */
  readonly file: string;
  /** How many exports it has the keys of: this one, and those whose packs it needs. */
  readonly keys: number;
  /** Which they are, this one first: `INSTANCE@EXPORT-ID`. */
  readonly keysOf: readonly string[];
}

export interface AddKeysResult {
  readonly recipients: readonly string[];
  readonly exports: readonly AddedKeys[];
  readonly warnings: readonly string[];
}

/**
 * Lets more recipients read sealed exports: writes one small file beside each, with the keys of the export and of those whose packs it
 * needs. Nothing that is there is changed, so credentials that may only add objects are enough.
 *
 * Somebody who can write to the store must not choose whose keys are given away: the packs must be in the encrypted frame maps, too, and
 * exports of other instances must be among those that were asked for.
 *
 * @throws GantryError `RECIPIENT_INVALID`, `IDENTITY_NEEDED`, `IDENTITY_MISMATCH`, `USAGE` for an export that has no key of its own,
 *   or needs packs of another instance, `EXPORT_*`, `MANIFEST_DAMAGED`, `MAP_DAMAGED`, `SIGNATURE_*`, `STORE_*`; the reason of the signal
 */
export function addKeys(request: AddKeysRequest): Promise<AddKeysResult> {
  return withFirstError(() => withStoreErrors(request.store.address, () => add(request)));
}

async function add(request: AddKeysRequest): Promise<AddKeysResult> {
  const { store } = request;
  const { signal, reporter } = startCall('keys-add', request);
  const recipients = await recipientsOf(request, signal);
  // All that can be refused is, before anything is written.
  const opened: { readonly manifest: Manifest; readonly reference: string }[] = [];
  for (const wanted of request.exports) {
    const found = await openExport(store, wanted, { signal });
    const { manifest, reference, warnings } = found;
    for (const warning of warnings) reporter.warn(warning);
    if (manifest?.sealed === undefined) throw notSealed(reference);
    assertOpened(store, found);
    await checkSigned(request, found, { reporter, signal });
    await assertAsSafe(reference, manifest.sealed.recipients, recipients);
    opened.push({ manifest, reference });
  }
  const named = new Set(opened.map(({ reference }) => reference));
  const found: { readonly manifest: Manifest; readonly keys: readonly ExportKey[] }[] = [];
  for (const { manifest } of opened) found.push({ manifest, keys: await keysOf(store, manifest, named, { signal }) });
  const exports: AddedKeys[] = [];
  for (const { manifest, keys } of found) {
    const file = await writeKeys(store, manifest, await sealKeys(keys, recipients), { signal });
    const references = keys.map(({ instance, exportId }) => formatExportReference(instance, exportId));
    exports.push({
      reference: formatExportReference(manifest.instance.name, manifest.exportId),
      file,
      keys: keys.length,
      keysOf: references,
    });
  }
  return { recipients: recipients.texts, exports, warnings: reporter.warnings };
}

/** @throws GantryError `RECIPIENT_INVALID` */
async function recipientsOf({ recipients, recipientsFiles }: AddKeysRequest, signal: AbortSignal): Promise<Recipients> {
  const found = await readRecipients({ recipients, recipientsFiles }, signal);
  if (found !== undefined) return found;
  throw new GantryError('RECIPIENT_INVALID', { message: 'there is no recipient', hint: 'age-keygen makes a recipient: age1…' });
}

/** @throws GantryError `RECIPIENT_INVALID` for recipients that would undo what post-quantum ones are for */
async function assertAsSafe(reference: string, before: readonly string[], { texts }: Recipients): Promise<void> {
  const { Recipients } = await loadAge();
  try {
    if (before.length > 0) Recipients.of([...before.slice(0, 1), ...texts]);
  } catch (error) {
    if (!(error instanceof AgeError)) throw error;
    throw new GantryError('RECIPIENT_INVALID', {
      message: `cannot add these recipients to ${reference}: ${error.message}`,
      hint: 'Add a recipient of the same kind as those of the export: gantry keys check shows them.',
      cause: error,
    });
  }
}

/** The keys of an export, and of all whose packs it needs. @param named the references of exports that were asked for */
async function keysOf(store: Store, manifest: Manifest, named: ReadonlySet<string>, options: CallOptions): Promise<readonly ExportKey[]> {
  const { exportId } = manifest;
  const { name: instance } = manifest.instance;
  const keys: ExportKey[] = [{ instance, exportId, key: await keyOf(store, manifest, options) }];
  const owners = new Map(packsOfOthers(manifest).map((pack) => [exportPrefix(pack.instance, pack.exportId), pack]));
  for (const owner of owners.values()) {
    const reference = formatExportReference(owner.instance, owner.exportId);
    if (owner.instance !== instance && !named.has(reference)) throw ofOtherInstance(manifest, reference);
  }
  // The manifest is in the open. A map is compared with it, and names the same packs.
  if (owners.size > 0) for (const dump of manifest.dumps) await readFrameMap(store, manifest, dump, options);
  for (const { instance, exportId } of owners.values()) {
    const owner = await manifestIfUsable(store, { instance, id: exportId }, options);
    const key =
      owner?.sealed === undefined ? await readKeyOfRemoved(store, { instance, exportId }, options) : await keyOf(store, owner, options);
    if (key === undefined) throw keyMissing(manifest, formatExportReference(instance, exportId));
    keys.push({ instance, exportId, key });
  }
  return keys;
}

async function keyOf(store: Store, manifest: Manifest, options: CallOptions): Promise<string> {
  const key = await readExportKey(store, manifest, options);
  if (key !== undefined) return key;
  const reference = formatExportReference(manifest.instance.name, manifest.exportId);
  throw new GantryError('USAGE', {
    message: `cannot add recipients to ${reference}: it was encrypted with a passphrase, and has no key of its own`,
    hint: 'Export the instance again, with --recipient.',
  });
}

/** As in a copy by an earlier version, where only packs of an earlier export are. */
function keyMissing(manifest: Manifest, owner: string): GantryError {
  const reference = formatExportReference(manifest.instance.name, manifest.exportId);
  return new GantryError('USAGE', {
    message: `cannot add recipients to ${reference}: it needs packs of ${owner}, whose key is not here`,
    hint: 'Add them in the store from which it was copied, and copy it again; or make a full export with the new recipients.',
  });
}

function ofOtherInstance(manifest: Manifest, owner: string): GantryError {
  const reference = formatExportReference(manifest.instance.name, manifest.exportId);
  return new GantryError('USAGE', {
    message: `cannot add recipients to ${reference}: it needs packs of ${owner}, an export of another instance, whose key they would get`,
    hint: `If they may read that export, too, name it as well. If ${reference} was not made with --base, somebody has changed its manifest.`,
  });
}

function notSealed(reference: string): GantryError {
  return new GantryError('USAGE', {
    message: `cannot add recipients to ${reference}: it is not sealed`,
    hint: 'Everybody who can read the store can read it.',
  });
}
