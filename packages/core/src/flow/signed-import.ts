import type { CallOptions, Store } from '@gantry/transport';
import type { StoredExport } from '../exports/open-export.ts';
import { openByMaps } from '../exports/open-export.ts';
import type { Signers } from '../exports/signature.ts';
import { asksForSignatures, checkSignature } from '../exports/signature.ts';
import type { Reporter } from '../report/reporter.ts';

/**
 * Checks the signature of an export that is to be used, and says whose it is.
 *
 * @throws GantryError `SIGNATURE_MISSING`, `SIGNATURE_INVALID`, `USAGE`, `STORE_*`; the reason of the signal
 */
export async function checkSigned(
  request: Signers & { readonly store: Store },
  found: StoredExport,
  { reporter, signal }: CallOptions & { readonly reporter: Reporter },
): Promise<void> {
  if (!asksForSignatures(request)) return;
  const signature = await checkSignature(request.store, found, { ...request, signal });
  if (signature.state === 'signed') reporter.stage(`${found.reference} is signed by ${signature.by.join(', ')}`);
  else reporter.warn(`${found.reference} is not signed: anybody who can write to ${request.store.address} may have made it`);
}

/** A signed export, read so that as much as possible of it is compared with what was signed before it is used: by its frame maps. */
export function readAsSigned({ store, allowedSigners }: Signers & { readonly store: Store }, found: StoredExport): StoredExport {
  return allowedSigners === undefined ? found : (openByMaps(store, found) ?? found);
}

/**
 * Whether its dumps must be read before anything is written, because what is signed is the SHA-256 of each as a whole. Frame maps have
 * that of every frame.
 */
export function isCheckedFirst({ store, allowedSigners }: Signers & { readonly store: Store }, found: StoredExport): boolean {
  return allowedSigners !== undefined && found.manifest !== undefined && openByMaps(store, found) === undefined;
}
