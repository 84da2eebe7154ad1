import type { Store } from '@gantry/transport';
import { isGanetiDirectory } from '../exports/ganeti-directory.ts';
import type { UnfinishedExport } from '../exports/unfinished.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import type { KeepOptions } from '../exports/cut-off.ts';
import { keepUnfinished } from '../exports/cut-off.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import type { Session } from './session.ts';

export interface PrepareOptions extends Pick<Session, 'instance' | 'reporter' | 'signal'> {
  /** For a run that can take over the packs that killed exports have left: they are kept, with their frame maps. */
  readonly keep?: KeepOptions | undefined;
}

/** Clears what killed exports of the instance left in a store, and warns of a place that another program uses. @throws StoreError */
export async function prepareStore(store: Store, options: PrepareOptions): Promise<void> {
  const { instance, reporter, signal } = options;
  await clearDeadExports(store, options);
  await warnOfGanetiDirectory(store, instance.name, reporter, signal);
}

async function warnOfGanetiDirectory(store: Store, instance: string, reporter: Reporter, signal: AbortSignal): Promise<void> {
  if (!(await isGanetiDirectory(store, instance, { signal }))) return;
  reporter.warn(
    `${store.address} is where Ganeti keeps its own exports: "gnt-backup export ${instance}" removes all exports of ${instance} there, including this one. Use another directory`,
  );
}

/** Clears what killed exports of this instance left in the store, if their processes ran on this machine. */
async function clearDeadExports(store: Store, options: PrepareOptions): Promise<void> {
  const { instance, reporter, signal } = options;
  for (const unfinished of await findUnfinishedIfAny(store, instance.name, reporter, signal)) {
    if (unfinished.owner !== 'dead') continue;
    try {
      if (!(await clearDeadExport(store, unfinished, options))) continue;
    } catch (error) {
      if (!(error instanceof GantryError) || error.code !== 'STORE_DENIED') throw error;
      // They do no harm to the export that follows, whose id is another one.
      reporter.warn(
        'cannot clear what killed exports left in the store (permission denied): it stays there until it is cleared with more permissions',
      );
      return;
    }
    reporter.warn(`cleared the remains of a killed export in the store: ${unfinished.name}, ${unfinished.text}`);
  }
}

/** @returns false if it was kept, or has become complete, or belongs to another run by now */
async function clearDeadExport(store: Store, unfinished: UnfinishedExport, { reporter, signal, keep }: PrepareOptions): Promise<boolean> {
  const isUnderWay = !unfinished.complete && unfinished.pending.some(({ durableBytes }) => durableBytes > 0);
  if (keep?.readBack === true && isUnderWay) reporter.stage(`reading what is durable of ${unfinished.name}, which was killed`);
  const isKept = keep !== undefined && (await withStoreErrors(store.address, () => keepUnfinished(store, unfinished, { ...keep, signal })));
  return !isKept && (await clearUnfinished(store, unfinished, { signal })) === 'cleared';
}

/** Finds nothing if there is no store yet. */
async function findUnfinishedIfAny(
  store: Store,
  instance: string,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<readonly UnfinishedExport[]> {
  try {
    return await findUnfinished(store, { instance, signal });
  } catch (error) {
    if (error instanceof GantryError && error.code === 'STORE_NOT_FOUND') return [];
    if (error instanceof GantryError && error.code === 'STORE_DENIED' && store.capabilities.createOnly) {
      reporter.warn(
        'cannot list the store (permission denied): remains of killed exports stay there until they are cleared with more permissions',
      );
      return [];
    }
    throw error;
  }
}
