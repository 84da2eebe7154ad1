import type { CallOptions, Store } from '@gantry/transport';
import { bringBack } from '../exports/bring-back.ts';
import { parseExportReference } from '../exports/export-id.ts';
import type { HiddenExport } from '../exports/hidden-exports.ts';
import { bringBackMarker, findHiddenExports } from '../exports/hidden-exports.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { assertStoreFormat, isMarkedStore } from '../exports/store-marker.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
import { quoteWord } from '../report/quote-word.ts';
import { sum } from '../system/sum.ts';

export interface UndeleteRequest extends CallOptions {
  /** A store whose service keeps versions of what is removed. */
  readonly store: Store;
  /** `INSTANCE` (all its exports that were removed) or `INSTANCE@EXPORT-ID`. Where absent, all are listed. */
  readonly export?: string | undefined;
  /** Only says what could be brought back. Always so without `export`. */
  readonly dryRun?: boolean | undefined;
  /** Called with what the user should know. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** An export that was removed, or of which something was. */
export interface UndeletedExport {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly removed: Date;
  /** Of its files, without dumps of other exports that it needs. */
  readonly bytes: number;
  /**
   * `found`: it was not asked for. `incomplete`: the service does not have everything of it any more. `busy`: another run works on it, or
   * a dump that it needs is marked to be deleted; it can be brought back later.
   */
  readonly outcome: 'found' | 'restored' | 'incomplete' | 'busy';
  readonly code?: GantryErrorCode;
  readonly reason?: string;
}

/**
 * Brings back exports that were removed, where the service has kept their files: with versions, a removal only hides them. Nothing is read,
 * decrypted or copied.
 *
 * @throws GantryError `USAGE`, `EXPORT_NOT_FOUND`, `STORE_*`
 */
export function undelete(request: UndeleteRequest): Promise<readonly UndeletedExport[]> {
  const { store, export: wanted, signal } = request;
  return withStoreErrors(store.address, async () => {
    const named = wanted === undefined ? undefined : parseExportReference(wanted);
    await assertStoreFormat(store, { signal });
    const isAsked = wanted !== undefined && request.dryRun !== true;
    if (isAsked && !(await isMarkedStore(store, { signal }))) await bringBackMarker(store, { signal });
    const undeleted: UndeletedExport[] = [];
    for await (const each of findHiddenExports(store, named ?? {}, { signal })) {
      const { reference, removed, objects } = each;
      const base = { reference, removed, bytes: sum(objects.map(({ size }) => size)) };
      undeleted.push({ ...base, ...(isAsked ? await restore(request, each) : { outcome: 'found' }) });
    }
    if (wanted !== undefined && undeleted.length === 0) throw nothingHidden(store, wanted);
    return undeleted;
  });
}

async function restore(
  { store, signal, warn = () => undefined }: UndeleteRequest,
  found: HiddenExport,
): Promise<Pick<UndeletedExport, 'outcome' | 'code' | 'reason'>> {
  try {
    await bringBack(store, found, { signal, warn });
    return { outcome: 'restored' };
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    const { code, message: reason, hint } = error;
    if (code === 'BUSY') return { outcome: 'busy', code, reason: hint === undefined ? reason : `${reason}. ${hint}` };
    if (error.exitCode !== DAMAGE_EXIT_CODE) throw error;
    return { outcome: 'incomplete', code, reason };
  }
}

const DAMAGE_EXIT_CODE = 7;

function nothingHidden(store: Store, wanted: string): GantryError {
  return new GantryError('EXPORT_NOT_FOUND', {
    message: `no removed export of ${wanted} can be brought back in ${store.address}`,
    hint: `gantry undelete ${quoteWord(store.address)} lists what can; versions end with the bucket's lifecycle rules.`,
  });
}
