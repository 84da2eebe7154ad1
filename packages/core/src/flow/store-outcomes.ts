import type { Store } from '@gantry/transport';
import { findCopied } from '../exports/copied-manifest.ts';
import { assertSeparateStores } from '../exports/separate-stores.ts';
import { requireStore } from '../exports/store-marker.ts';
import { asStoreFailure } from '../exports/store-errors.ts';
import type { GantryError, GantryErrorCode } from '../report/errors.ts';
import { copyExport } from './copy-export.ts';
import type { CopyWay } from './copy-way.ts';
import type { Call } from './session.ts';
import type { TeeBranch } from './tee-branch.ts';

/** What became of an export in one of several stores. */
export interface StoreOutcome {
  /** Its address. */
  readonly store: string;
  /** `copied`: it was given up there, and copied afterwards from a store in which it is complete. */
  readonly outcome: 'exported' | 'copied' | 'failed';
  /** Why it was given up there. */
  readonly reason?: string;
  readonly code?: GantryErrorCode;
  /** Why it could not be copied either. */
  readonly copyReason?: string;
}

export function outcomeOf({ store, failure, manifest }: TeeBranch): StoreOutcome {
  if (manifest !== undefined) return { store: store.address, outcome: 'exported' };
  return { store: store.address, outcome: 'failed', ...(failure === undefined ? {} : { reason: failure.message, code: failure.code }) };
}

interface SeveralStores {
  readonly store: Store;
  readonly alsoInto?: readonly Store[] | undefined;
  readonly parallel?: number | undefined;
  readonly createStore?: boolean | undefined;
}

/**
 * Copies an export to the stores in which it was given up; those that fail again are named in the result. The export is complete: a signal
 * ends the copies, and not the export.
 */
export async function copyToRest<T extends { readonly reference: string; readonly stores?: readonly StoreOutcome[] }>(
  { reporter, signal }: Call,
  { store, alsoInto = [], parallel, createStore = false }: SeveralStores,
  result: T,
): Promise<T> {
  if (result.stores === undefined) return result;
  const all = [store, ...alsoInto];
  const source = all[result.stores.findIndex(({ outcome }) => outcome === 'exported')];
  const stores: StoreOutcome[] = [];
  for (const [index, outcome] of result.stores.entries()) {
    const target = all[index];
    if (outcome.outcome !== 'failed' || source === undefined || target === undefined) {
      stores.push(outcome);
      continue;
    }
    // This run has made the export, and chosen its base.
    const way: CopyWay = { source, target, bringsOf: () => true, reporter, signal, parallel };
    const failure = await tryToCopy(way, result.reference, createStore);
    if (failure === undefined) stores.push({ ...outcome, outcome: 'copied' });
    else stores.push({ ...outcome, copyReason: failure.message });
    if (failure !== undefined)
      reporter.warn(`${result.reference} was not copied to ${target.address}: ${failure.message} [${failure.code}]`);
  }
  return { ...result, stores };
}

async function tryToCopy(way: CopyWay, reference: string, create: boolean): Promise<GantryError | undefined> {
  const { source, target, signal } = way;
  try {
    signal.throwIfAborted();
    await requireStore(target, { create, signal });
    // A new store has its id only now.
    await assertSeparateStores([source, target], { signal });
    await copyExport(way, await findCopied(source, reference, { signal }));
    return undefined;
  } catch (error) {
    return asStoreFailure(error, target.address);
  }
}
