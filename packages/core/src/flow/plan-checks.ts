import type { Store } from '@gantry/transport';
import { asStoreFailure, isOfStore, withStoreErrors } from '../exports/store-errors.ts';
import { requireStore } from '../exports/store-marker.ts';
import { GantryError } from '../report/errors.ts';
import type { PlanCheck, WritePlan } from '../report/events.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { Session } from './session.ts';
import type { SnapshotChoice } from './take-snapshots.ts';
import { planSnapshots } from './take-snapshots.ts';

/*
 * What dry runs say of their checks. What is not fit is an error, as in a real run.
 */

/** The result of a dry run, in the same form for all operations. */
export interface DryRun {
  readonly dryRun: true;
  readonly instance: string;
  /** What would happen. */
  readonly plan: WritePlan;
  readonly checks: readonly PlanCheck[];
  readonly warnings: readonly string[];
}

/** Of an instance whose session is open, and whose parameters were checked. */
export function sessionChecks({ os, instance, disks }: Pick<Session, 'os' | 'instance' | 'disks'>): readonly PlanCheck[] {
  const parameters = Object.keys(instance.osparams).length + Object.keys(instance.osparams_private).length;
  return [
    { check: 'instance', says: `${instance.name}, and ${disks.length === 1 ? '1 disk' : `${disks.length} disks`}: no other run uses them` },
    { check: 'definition', says: describeOs(os) },
    ...(parameters === 0 ? [] : [{ check: 'parameters', says: `${parameters} accepted by the OS definition` } as const]),
  ];
}

function describeOs({ fullName, definition: { builtin, directory, apiVersion } }: SelectedOs): string {
  return builtin ? `${fullName}, built in` : `${fullName} in ${directory}, API ${apiVersion}`;
}

/** Which snapshots would be taken. @throws GantryError `SNAPSHOT_UNSUPPORTED`, `SNAPSHOT_FULL`; the reason of the signal */
export async function snapshotChecks(request: SnapshotChoice, session: Session): Promise<readonly PlanCheck[]> {
  const planned = await planSnapshots(request, session.disks, session);
  return planned.map(({ disk, provider, what }) => ({ check: 'snapshot', disk, says: `${provider}: ${what}` }));
}

interface StoreCheckOptions extends Pick<Session, 'reporter' | 'signal'> {
  readonly createStore: boolean;
  /** Bytes that may be stored at most, where known. */
  readonly neededBytes: number | undefined;
}

/** Whether a store takes exports, as far as that shows without writing. @throws GantryError `STORE_*`; the reason of the signal */
async function storeCheck(store: Store, options: StoreCheckOptions): Promise<PlanCheck> {
  const { signal, createStore, neededBytes, reporter } = options;
  const exists = await isStore(store, { signal, createStore });
  const space = await withStoreErrors(store.address, async () => await store.space?.({ signal }));
  if (space?.readOnly === true) {
    throw new GantryError('STORE_DENIED', {
      message: `cannot write to ${store.address}: it is read-only for this user`,
      hint: 'Check its permissions and how its file system is mounted.',
    });
  }
  const free = space?.freeBytes;
  if (free !== undefined && neededBytes !== undefined && free < neededBytes)
    reporter.warn(`${store.address} has ${free} bytes free, and the export may need up to ${neededBytes} before compression`);
  const says = exists ? store.address : `${store.address} will be created`;
  return { check: 'store', says: free === undefined ? says : `${says}, ${free} bytes free` };
}

/**
 * {@link storeCheck} of each store. What one of several lacks is its own failure, as in a real run.
 *
 * @throws what the first is not fit for, if none is fit
 */
export async function storeChecks(stores: readonly Store[], options: StoreCheckOptions): Promise<readonly PlanCheck[]> {
  const checks: PlanCheck[] = [];
  const failures: unknown[] = [];
  for (const store of stores) {
    try {
      checks.push(await storeCheck(store, options));
    } catch (error) {
      options.signal.throwIfAborted();
      if (!isOfStore(error)) throw error;
      const { message, code } = asStoreFailure(error, store.address);
      checks.push({ check: 'store', says: message, code });
      failures.push(error);
    }
  }
  if (failures.length === stores.length) throw failures[0];
  return checks;
}

async function isStore(store: Store, { signal, createStore }: { signal: AbortSignal; createStore: boolean }): Promise<boolean> {
  try {
    await requireStore(store, { create: false, signal });
    return true;
  } catch (error) {
    if (createStore && error instanceof GantryError && error.code === 'STORE_NOT_FOUND') return false;
    throw error;
  }
}
