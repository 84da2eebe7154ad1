import type { Store } from '@gantry/transport';
import { parseClaim } from '../exports/claim.ts';
import { isGanetiDirectory } from '../exports/ganeti-directory.ts';
import type { UnfinishedExport } from '../exports/unfinished.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import type { KeepOptions, KeepOutcome } from '../exports/cut-off.ts';
import { keepUnfinished } from '../exports/cut-off.ts';
import { isMapName } from '../exports/layout.ts';
import { withStoreErrors } from '../exports/store-errors.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import type { Session } from './session.ts';

export interface PrepareOptions extends Pick<Session, 'instance' | 'reporter' | 'signal'> {
  /**
   * For a run that can take over the packs that killed exports have left: they are kept, with their frame maps. With `later`, what killed
   * incremental exports have left stays as it is, for the next incremental export.
   */
  readonly keep?: KeepOptions | 'later' | undefined;
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
async function clearDeadExport(store: Store, unfinished: UnfinishedExport, options: PrepareOptions): Promise<boolean> {
  const outcome = await keepDeadExport(store, unfinished, options);
  return outcome === 'nothing' && (await clearUnfinished(store, unfinished, { signal: options.signal })) === 'cleared';
}

async function keepDeadExport(
  store: Store,
  unfinished: UnfinishedExport,
  { reporter, signal, keep }: PrepareOptions,
): Promise<KeepOutcome> {
  if (keep === undefined) return 'nothing';
  if (keep === 'later') return isOfIncrement(unfinished) ? 'later' : 'nothing';
  const isUnderWay = !unfinished.complete && unfinished.pending.some(({ durableBytes }) => durableBytes > 0);
  if (keep.readBack && isUnderWay) reporter.stage(`reading what is durable of ${unfinished.name}, which was killed`);
  const outcome = await withStoreErrors(store.address, () => keepUnfinished(store, unfinished, { ...keep, signal }));
  if (outcome === 'later')
    reporter.warn(
      `what ${unfinished.name} has stored, which was killed, cannot be taken over now: the store was not available for it. It stays for the next incremental export, or until "gantry clean"`,
    );
  return outcome;
}

/** Only such an export has frame maps to come. */
function isOfIncrement({ complete, removed, claim }: UnfinishedExport): boolean {
  return !complete && !removed && parseClaim(claim)?.dumps?.some(isMapName) === true;
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
