import type { CopySettings } from '@gantry/config';
import type { DescribedInstance, RetentionPolicy } from '@gantry/core';
import { GantryError, isSentBySource, mirrorStore, planExport, pruneStore } from '@gantry/core';
import type { Store } from '@gantry/transport';
import { askedLocalExport } from './export-request.ts';
import { openPolicyStores } from './open-stores.ts';
import { problemOf, problemsOfCopies } from './problems.ts';
import { recentExport } from './recent-exports.ts';
import type { RunProblem } from './record/form.ts';
import type { OpenedStore, PolicyRunRequest } from './run-request.ts';
import type { SelectedInstance } from './selection.ts';
import { selectInstances } from './selection.ts';
import { copySignersOf, signersOf, warningsOfSigners } from './signers.ts';
import type { RunTimes } from './when.ts';
import { timesOf } from './when.ts';

/** What a run would do with an instance. */
export interface PlannedInstance {
  readonly name: string;
  readonly source: string;
  /** `copy`: a recent export is copied to the stores that lack it. `wait`: it is outside of the window. */
  readonly would: 'export' | 'copy' | 'skip' | 'wait' | 'fail';
  /** The recent export that counts. */
  readonly reference?: string | undefined;
  /** Why it would fail; where it would be exported, what is wrong with one of several stores. */
  readonly problem?: RunProblem | undefined;
}

/** What a run would do with a store after the exports, seen from what is in it now. */
export interface PlannedStore {
  readonly store: string;
  readonly role: 'exports' | 'copies';
  /** `INSTANCE@EXPORT-ID` of exports that are there already, and would be copied. */
  readonly copies?: readonly string[] | undefined;
  /** `INSTANCE@EXPORT-ID`. */
  readonly removes?: readonly string[] | undefined;
}

export interface PolicyPlan {
  readonly policy: string;
  readonly instances: readonly PlannedInstance[];
  readonly stores: readonly PlannedStore[];
  readonly problems: readonly RunProblem[];
  readonly warnings: readonly string[];
}

/** Says what {@link runPolicy} would do now, without doing it: it asks the sources and the stores. @throws the signal's reason */
export async function planPolicy(request: PolicyRunRequest): Promise<PolicyPlan> {
  const { policy, configuration, context, only, signal } = request;
  await using selection = await selectInstances(policy.instances, { ...context, signal, configuration, only });
  await using opened = await openPolicyStores(request, 'read');
  const times = timesOf(request, new Date());
  const instances: PlannedInstance[] = [];
  for (const selected of selection.instances) instances.push(await planInstance(request, selected, opened.usable, times));
  const planner = new StorePlanner(
    request,
    instances.filter(({ would }) => would !== 'fail').map(({ name }) => name),
  );
  const stores = await planner.plan(opened.usable);
  return {
    policy: policy.name,
    instances,
    stores,
    problems: [...selection.problems, ...opened.problems, ...planner.problems],
    warnings: [...selection.warnings, ...(await warningsOfSigners(request))],
  };
}

async function planInstance(
  request: PolicyRunRequest,
  selected: SelectedInstance,
  stores: readonly OpenedStore[],
  times: RunTimes,
): Promise<PlannedInstance> {
  const { signal } = request;
  const { name, from: source } = selected;
  try {
    const described = await selected.describe(signal);
    const recent = await recentIn(described, stores, times, request);
    const reference = recent.find((each) => each !== undefined);
    if (reference !== undefined) return { name, source, would: recent.includes(undefined) ? 'copy' : 'skip', reference };
    const problem = isSentBySource(selected.source, described) ? undefined : await checkExport({ request, selected, described, stores });
    return { name, source, would: times.window === 'closed' ? 'wait' : 'export', ...(problem === undefined ? {} : { problem }) };
  } catch (error) {
    signal.throwIfAborted();
    return { name, source, would: 'fail', problem: problemOf(name, error) };
  }
}

interface Exported {
  readonly request: PolicyRunRequest;
  readonly selected: SelectedInstance;
  readonly described: DescribedInstance;
  readonly stores: readonly OpenedStore[];
}

/**
 * Checks what can be checked of its export: definition, parameters, locks, disks, snapshots, each store.
 *
 * @returns what is wrong with one of several stores @throws GantryError as the export would; the signal's reason
 */
async function checkExport({ request, selected, described, stores }: Exported): Promise<RunProblem | undefined> {
  const [first, ...others] = stores.map(({ store }) => store);
  if (first === undefined) return undefined;
  const subject = { request, selected, described, store: first, alsoInto: others, signal: request.signal };
  const { checks } = await planExport(await askedLocalExport(subject));
  for (const { code, says } of checks) if (code !== undefined) return { what: selected.name, code, message: says };
  return undefined;
}

async function recentIn(
  { instance }: DescribedInstance,
  stores: readonly OpenedStore[],
  { since }: RunTimes,
  request: PolicyRunRequest,
): Promise<readonly (string | undefined)[]> {
  const { stateDirectory, signal } = request;
  if (since === undefined) return [];
  const found: (string | undefined)[] = [];
  for (const { named, store } of stores) {
    const signers = await signersOf(request, named);
    found.push(await recentExport(store, instance, { ...signers, since, stateDirectory, signal }));
  }
  return found;
}

class StorePlanner {
  readonly problems: RunProblem[] = [];
  readonly #request: PolicyRunRequest;
  readonly #instances: readonly string[];

  constructor(request: PolicyRunRequest, instances: readonly string[]) {
    this.#request = request;
    this.#instances = instances;
  }

  async plan(opened: readonly OpenedStore[]): Promise<readonly PlannedStore[]> {
    const { retention, copies } = this.#request.policy;
    const planned: PlannedStore[] = [];
    const [first] = opened;
    for (const { named, store } of opened) {
      const removes = await this.#removals(named, store, retention);
      if (removes !== undefined) planned.push({ store: named, role: 'exports', removes });
    }
    if (first !== undefined) for (const copy of copies) planned.push(await this.#copies(first, copy));
    return planned;
  }

  async #copies({ named, store: source }: OpenedStore, { to, retention }: CopySettings): Promise<PlannedStore> {
    const found = await this.#attempt(`copies to ${to}`, async () => {
      await using target = await this.#request.openStore(to, 'read');
      const { signal } = this.#request;
      const signers = await copySignersOf(this.#request, { from: named, to });
      const result = await mirrorStore({ ...signers, source, target, instances: this.#instances, dryRun: true, signal });
      this.problems.push(...problemsOfCopies(result, to));
      const removes = await this.#removals(to, target, retention);
      return { copies: result.exports.flatMap(({ reference, outcome }) => (outcome === 'planned' ? [reference] : [])), removes };
    });
    return { store: to, role: 'copies', ...found };
  }

  async #removals(named: string, store: Store, policy: RetentionPolicy | undefined): Promise<readonly string[] | undefined> {
    if (policy === undefined || this.#instances.length === 0) return undefined;
    const { signal } = this.#request;
    return await this.#attempt(`retention in ${named}`, async () => {
      const signers = await signersOf(this.#request, named);
      const asked = { ...signers, store, instances: this.#instances, policy, stateDirectory: this.#request.stateDirectory, signal };
      const { removed } = await pruneStore({ ...asked, dryRun: true });
      return removed;
    });
  }

  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      this.#request.signal.throwIfAborted();
      if (this.#request.createStore === true && error instanceof GantryError && error.code === 'STORE_NOT_FOUND') return undefined;
      this.problems.push(problemOf(what, error));
      return undefined;
    }
  }
}
