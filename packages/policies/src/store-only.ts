import { GantryError } from '@gantry/core';
import { AfterExports } from './after-exports.ts';
import { problemOf } from './problems.ts';
import { recentExport } from './recent-exports.ts';
import type { RunLog } from './record/log.ts';
import type { OpenedStore, PolicyRunRequest } from './run-request.ts';
import { selectInstances } from './selection.ts';
import { signersOf } from './signers.ts';
import { exportsCountSince } from './when.ts';

/**
 * Does what comes after the exports of a policy with one of its stores: copies into it, or its verification and retention. Other processes
 * made the exports, on other hosts: which instances have one is asked of the store. Those that the policy does not select, and those without
 * a new export, lose nothing.
 *
 * @param named as the policy names it
 * @throws GantryError `USAGE` if nothing says which exports are new; the signal's reason
 */
export async function workAtStore(request: PolicyRunRequest, log: RunLog, named: string): Promise<void> {
  const { policy } = request;
  const since = exportsCountSince(request, new Date());
  if (since === undefined) {
    const hint = 'Say with --skip-newer how old exports may be of which older ones are removed or copied.';
    throw new GantryError('USAGE', { message: `policy ${policy.name} has no window: nothing says which exports are new`, hint });
  }
  const copy = policy.copies.find(({ to }) => to === named);
  await using scope = new AsyncDisposableStack();
  const from = copy === undefined ? [named] : policy.stores;
  // Before anything is removed from a store of copies, each of the policy is asked whether it is the same one.
  const stores = await openStores(request, log, { from, all: copy?.retention !== undefined }, scope);
  const [opened] = stores;
  if (opened === undefined) return;
  const names = await selectedNames(request, log);
  const good = await goodInstances(request, opened, names, since);
  const left = names.length - good.length;
  if (left > 0) {
    const which = left === 1 ? '1 instance has' : `${left} instances have`;
    const warning = `${which} no good export in ${opened.named} since ${since.toISOString()}: nothing of ${left === 1 ? 'it' : 'them'} is removed or copied`;
    log.change(({ warnings }) => ({ warnings: [...warnings, warning] }));
  }
  const after = new AfterExports(request, log, () => good);
  if (copy === undefined) await after.tidy(opened);
  else await after.copy(opened, copy, stores);
}

/**
 * Opens those of some stores that can be opened: all, or the first of them. Why others cannot goes into the record.
 *
 * @throws the signal's reason
 */
async function openStores(
  { openStore, signal, storeOnly }: PolicyRunRequest,
  log: RunLog,
  { from, all }: { readonly from: readonly string[]; readonly all: boolean },
  scope: AsyncDisposableStack,
): Promise<readonly OpenedStore[]> {
  const opened: OpenedStore[] = [];
  for (const named of from) {
    if (!all && opened.length > 0) break;
    try {
      // What is copied from is not changed: this host need not have the right to.
      opened.push({ named, store: scope.use(await openStore(named, named === storeOnly ? 'write' : 'read')) });
    } catch (error) {
      signal.throwIfAborted();
      log.problem(problemOf(`store ${named}`, error));
    }
  }
  return opened;
}

/** What the policy selects, as far as its sources can be asked. */
async function selectedNames(request: PolicyRunRequest, log: RunLog): Promise<readonly string[]> {
  const { policy, configuration, context, signal } = request;
  await using selection = await selectInstances(policy.instances, { ...context, signal, configuration });
  const { instances, problems, warnings } = selection;
  log.change((run) => ({ problems: [...run.problems, ...problems], warnings: [...run.warnings, ...warnings] }));
  return instances.map(({ name }) => name);
}

/** The instances whose newest export is good, and new enough. How many disks they have now is not asked: their newest export stays anyway. */
async function goodInstances(
  request: PolicyRunRequest,
  { named, store }: OpenedStore,
  names: readonly string[],
  since: Date,
): Promise<readonly string[]> {
  const { stateDirectory, signal } = request;
  const options = { ...(await signersOf(request, named)), since, stateDirectory, signal };
  const good: string[] = [];
  for (const name of names) if ((await recentExport(store, { name, disks: [] }, options)) !== undefined) good.push(name);
  return good;
}
