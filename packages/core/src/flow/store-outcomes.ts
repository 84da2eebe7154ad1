import type { Store } from '@gantry/transport';
import type { CopiedManifest } from '../exports/copied-manifest.ts';
import { assertAccepted, findCopied } from '../exports/copied-manifest.ts';
import { fileOf } from '../exports/examine.ts';
import { parseExportReference } from '../exports/export-id.ts';
import { MANIFEST_FILE } from '../exports/layout.ts';
import { assertSeparateStores } from '../exports/separate-stores.ts';
import type { Signers } from '../exports/signature.ts';
import { digestText } from '../exports/small-object.ts';
import { asStoreFailure } from '../exports/store-errors.ts';
import { requireStore } from '../exports/store-marker.ts';
import type { GantryErrorCode } from '../report/errors.ts';
import { GantryError } from '../report/errors.ts';
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

function outcomeOf({ store, failure, committed }: TeeBranch): StoreOutcome {
  if (committed !== undefined) return { store: store.address, outcome: 'exported' };
  return { store: store.address, outcome: 'failed', ...(failure === undefined ? {} : { reason: failure.message, code: failure.code }) };
}

/** An export that a run has made. */
export interface MadeExport<T> {
  readonly result: T;
  /** One of several stores in which it is complete. */
  readonly source?: MadeIn | undefined;
}

interface MadeIn {
  readonly store: Store;
  /** Of the manifest that this run has written there. */
  readonly sha256: string;
}

/** An export into several stores, with what became of it in each. */
export function madeIn<T>(branches: readonly TeeBranch[], result: T): MadeExport<T & { readonly stores: readonly StoreOutcome[] }> {
  const [source] = branches.flatMap(({ store, committed }) => (committed === undefined ? [] : [{ store, sha256: committed.sha256 }]));
  return { result: { ...result, stores: branches.map(outcomeOf) }, source };
}

interface SeveralStores {
  readonly store: Store;
  readonly alsoInto?: readonly Store[] | undefined;
  readonly parallel?: number | undefined;
  readonly createStore?: boolean | undefined;
  /** The export of another instance that this run has chosen as the base. */
  readonly base?: string | undefined;
  /** Whose signatures are good in each store. */
  readonly storeSigners?: ReadonlyMap<Store, Signers> | undefined;
}

/**
 * Copies an export to the stores in which it was given up; those that fail again, or that refuse its signature, are named in the result. The
 * export is complete: a signal ends the copies, and not the export.
 */
export async function copyToRest<T extends { readonly reference: string; readonly stores?: readonly StoreOutcome[] }>(
  { reporter, signal }: Call,
  { store, alsoInto = [], parallel, createStore = false, base, storeSigners }: SeveralStores,
  { result, source }: MadeExport<T>,
): Promise<T> {
  if (result.stores === undefined) return result;
  const all = [store, ...alsoInto];
  const made = [result.reference, ...(base === undefined ? [] : [base])];
  const instances = new Set(made.map((each) => parseExportReference(each).instance));
  const stores: StoreOutcome[] = [];
  for (const [index, outcome] of result.stores.entries()) {
    const target = all[index];
    if (outcome.outcome !== 'failed' || source === undefined || target === undefined) {
      stores.push(outcome);
      continue;
    }
    const bringsOf = (name: string): boolean => instances.has(name);
    const targetSigners = storeSigners?.get(target);
    const way: CopyWay = { source: source.store, target, bringsOf, targetSigners, reporter, signal, parallel };
    const failure = await tryToCopy(way, { reference: result.reference, sha256: source.sha256, create: createStore });
    if (failure === undefined) stores.push({ ...outcome, outcome: 'copied' });
    else stores.push({ ...outcome, copyReason: failure.message });
    if (failure !== undefined)
      reporter.warn(`${result.reference} was not copied to ${target.address}: ${failure.message} [${failure.code}]`);
  }
  return { ...result, stores };
}

interface CopiedAsMade extends Pick<MadeIn, 'sha256'> {
  readonly reference: string;
  readonly create: boolean;
}

async function tryToCopy(way: CopyWay, { reference, sha256, create }: CopiedAsMade): Promise<GantryError | undefined> {
  const { source, target, targetSigners, signal } = way;
  try {
    signal.throwIfAborted();
    await requireStore(target, { create, signal });
    // A new store has its id only now.
    await assertSeparateStores([source, target], { signal });
    const copied = await findCopied(source, reference, { signal });
    assertAsMade(copied, sha256, source);
    await assertAccepted(source, copied, { targetSigners, signal });
    await copyExport(way, copied);
    return undefined;
  } catch (error) {
    return asStoreFailure(error, target.address);
  }
}

/** One of several stores must not choose what the others get. @throws GantryError `MANIFEST_DAMAGED` */
function assertAsMade({ text, manifest }: CopiedManifest, expected: string, source: Store): void {
  const { sha256 } = digestText(text);
  if (sha256 === expected) return;
  const file = fileOf({ instance: manifest.instance.name, id: manifest.exportId }, MANIFEST_FILE);
  throw new GantryError('MANIFEST_DAMAGED', {
    message: `${file} in ${source.address} is not what this export has written: SHA-256 mismatch: got ${sha256}, expected ${expected}`,
    hint: `Find out who else writes to ${source.address}. Then export again.`,
  });
}
