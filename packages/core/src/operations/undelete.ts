import { randomUUID } from 'node:crypto';
import type { CallOptions, Store } from '@gantry/transport';
import { exportPrefix, parseExportReference } from '../exports/export-id.ts';
import type { HiddenExport } from '../exports/hidden-exports.ts';
import { bringBack, findHiddenExports } from '../exports/hidden-exports.ts';
import { openExport } from '../exports/open-export.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { assertStoreFormat } from '../exports/store-marker.ts';
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
}

/** An export that was removed. */
export interface UndeletedExport {
  /** `INSTANCE@EXPORT-ID`. */
  readonly reference: string;
  readonly removed: Date;
  /** Of its files, without dumps of other exports that it needs. */
  readonly bytes: number;
  /** `found`: it was not asked for. `incomplete`: the service does not have everything of it any more. */
  readonly outcome: 'found' | 'restored' | 'incomplete';
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
    const prefix = named === undefined ? '' : named.id === undefined ? `${named.instance}/` : exportPrefix(named.instance, named.id);
    const found = await findHiddenExports(store, prefix, { signal });
    if (wanted !== undefined && found.length === 0) throw nothingHidden(store, wanted);
    const undeleted: UndeletedExport[] = [];
    const runId = `gantry-undelete-${randomUUID()}`;
    for (const each of found) {
      const { reference, removed, objects } = each;
      const base = { reference, removed, bytes: sum(objects.map(({ size }) => size)) };
      const isAsked = wanted !== undefined && request.dryRun !== true;
      undeleted.push({ ...base, ...(isAsked ? await restore(store, each, runId, { signal }) : { outcome: 'found' }) });
    }
    return undeleted;
  });
}

async function restore(
  store: Store,
  found: HiddenExport,
  runId: string,
  options: CallOptions,
): Promise<Pick<UndeletedExport, 'outcome' | 'code' | 'reason'>> {
  try {
    await bringBack(store, found, runId, options);
    await (await openExport(store, found.reference, options)).checkDumpsPresent(options);
    return { outcome: 'restored' };
  } catch (error) {
    if (!(error instanceof GantryError) || error.exitCode !== DAMAGE_EXIT_CODE) throw error;
    return { outcome: 'incomplete', code: error.code, reason: error.message };
  }
}

const DAMAGE_EXIT_CODE = 7;

function nothingHidden(store: Store, wanted: string): GantryError {
  return new GantryError('EXPORT_NOT_FOUND', {
    message: `no removed export of ${wanted} can be brought back in ${store.address}`,
    hint: `gantry undelete ${quoteWord(store.address)} lists what can; versions end with the bucket's lifecycle rules.`,
  });
}
