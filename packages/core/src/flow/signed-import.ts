import type { CallOptions, Store } from '@gantry/transport';
import { isReadByMaps } from '../exports/manifest.ts';
import type { StoredExport } from '../exports/open-export.ts';
import type { Signers } from '../exports/signature.ts';
import { checkSignature } from '../exports/signature.ts';
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
  if (request.allowedSigners === undefined && request.requireSignature !== true) return;
  const signature = await checkSignature(request.store, found, { ...request, signal });
  if (signature.state === 'signed') reporter.stage(`${found.reference} is signed by ${signature.by.join(', ')}`);
  else reporter.warn(`${found.reference} is not signed: anybody who can write to ${request.store.address} may have made it`);
}

/**
 * Whether its dumps must be read before anything is written, because what is signed is the SHA-256 of each as a whole. Frame maps have
 * that of every frame.
 */
export function isCheckedFirst({ allowedSigners }: Signers, { manifest }: Pick<StoredExport, 'manifest'>): boolean {
  return allowedSigners !== undefined && manifest !== undefined && !isReadByMaps(manifest);
}
