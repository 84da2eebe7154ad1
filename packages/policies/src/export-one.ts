import type { DescribedInstance, ExportResult, Instance, Signers, SnapshotHooks, StoreOutcome } from '@gantry/core';
import { copyFromStore, exportFromSource, exportInstance, GantryError, isSentBySource, runHook } from '@gantry/core';
import type { Store } from '@gantry/transport';
import { askedExport, askedLocalExport, operationOf, tracksChanges } from './export-request.ts';
import type { HookName } from './hooks.ts';
import { hookOf } from './hooks.ts';
import { problemOf } from './problems.ts';
import { recentExport } from './recent-exports.ts';
import type { InstanceOfRun, RunProblem, StoreOfInstance } from './record/form.ts';
import type { OpenedStore, RunContext } from './run-request.ts';
import type { SelectedInstance } from './selection.ts';
import { copySignersOf, signersOf } from './signers.ts';
import type { Signals } from './window-end.ts';
import { isWindowEnd } from './window-end.ts';

/** What became of an instance. */
export type ExportedOne = Pick<InstanceOfRun, 'state' | 'reference' | 'plainBytes' | 'storedBytes' | 'stores' | 'problems' | 'warnings'>;

type Outcome = Omit<ExportedOne, 'problems' | 'warnings'>;

/** The stores that get an export from one reading of the disks. */
interface Targets {
  readonly first: OpenedStore;
  readonly others: readonly OpenedStore[];
}

/**
 * Exports an instance into every store that lacks a recent export of it. Failures are in the result; so is what was done when the window
 * ended.
 *
 * @throws the reason of the signal of the run
 */
export async function exportOne(context: RunContext, selected: SelectedInstance, signals: Signals): Promise<ExportedOne> {
  return await new InstanceExport(context, selected, signals).run();
}

/**
 * What becomes of an instance whose export could not begin, with its hook.
 *
 * @throws the reason of the signal of the run
 */
export async function failOne(context: RunContext, selected: SelectedInstance, signals: Signals, error: unknown): Promise<ExportedOne> {
  return await new InstanceExport(context, selected, signals).fail(error);
}

class InstanceExport {
  readonly #context: RunContext;
  readonly #selected: SelectedInstance;
  readonly #runSignal: AbortSignal;
  readonly #signal: AbortSignal;
  readonly #problems: RunProblem[] = [];
  readonly #warnings: string[] = [];

  constructor(context: RunContext, selected: SelectedInstance, { run, work }: Signals) {
    this.#context = context;
    this.#selected = selected;
    this.#runSignal = run;
    this.#signal = work;
  }

  async run(): Promise<ExportedOne> {
    return await this.#end(await this.#work());
  }

  async fail(error: unknown): Promise<ExportedOne> {
    this.#runSignal.throwIfAborted();
    return await this.#end(this.#failed(error));
  }

  async #end(outcome: Outcome): Promise<ExportedOne> {
    const { state, reference } = outcome;
    if (state === 'failed' || this.#problems.length > 0) await this.#call('on-failure', { error: this.#problems[0], reference });
    else if (state === 'exported') await this.#call('on-success', { reference });
    return { ...outcome, problems: this.#problems, warnings: this.#warnings };
  }

  async #work(): Promise<Outcome> {
    try {
      const described = await this.#selected.describe(this.#signal);
      const recent = await this.#findRecent(described);
      const [known] = recent;
      if (known === undefined) return await this.#export(described);
      const [from, reference] = known;
      const present = [...recent].map(([opened, has]) => [opened, { store: opened.named, outcome: 'present', reference: has }] as const);
      const stores = await this.#copyToRest(from, reference, new Map(present));
      const isNew = stores.some(({ outcome }) => outcome === 'copied');
      return { state: stateOf(stores, isNew ? 'exported' : 'present'), reference, stores };
    } catch (error) {
      this.#runSignal.throwIfAborted();
      if (isWindowEnd(error)) return { state: 'left', stores: this.#inEach('left') };
      return this.#failed(error);
    }
  }

  #failed(error: unknown): Outcome {
    this.#problems.push(problemOf(this.#selected.name, error));
    return { state: 'failed', stores: this.#inEach('failed') };
  }

  #inEach(outcome: 'failed' | 'left'): readonly StoreOfInstance[] {
    return this.#context.stores.map(({ named: store }) => ({ store, outcome }));
  }

  /** The exports that count as done, by their stores. */
  async #findRecent({ instance }: DescribedInstance): Promise<ReadonlyMap<OpenedStore, string>> {
    const { stores, since } = this.#context;
    const found = new Map<OpenedStore, string>();
    if (since === undefined) return found;
    for (const opened of stores) {
      const reference = await this.#recentIn(opened, instance, since);
      if (reference !== undefined) found.set(opened, reference);
    }
    return found;
  }

  /** A store that cannot be asked has none: what is then tried there says why. */
  async #recentIn({ named, store }: OpenedStore, instance: Instance, since: Date): Promise<string | undefined> {
    try {
      const { request } = this.#context;
      const { stateDirectory } = request;
      return await recentExport(store, instance, { ...(await signersOf(request, named)), since, stateDirectory, signal: this.#signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof GantryError) return undefined;
      throw error;
    }
  }

  async #export(described: DescribedInstance): Promise<Outcome> {
    const failed: StoreOfInstance[] = [];
    for (const targets of this.#readings(described)) {
      const givenUp = new Map<Store, GantryError>();
      try {
        const result = await this.#exportInto(targets, described, (store, failure) => void givenUp.set(store, failure));
        this.#warnings.push(...result.warnings);
        const { reference, plainBytes, storedBytes } = result;
        const outcomes = this.#outcomesOf(targets, result);
        const from = [...outcomes].find(([, { outcome }]) => outcome === 'exported')?.[0] ?? targets.first;
        const copied = await this.#copyToRest(from, reference, outcomes);
        return { state: stateOf(copied, 'exported'), reference, plainBytes, storedBytes, stores: copied };
      } catch (error) {
        this.#runSignal.throwIfAborted();
        if (isWindowEnd(error)) return { state: 'left', stores: this.#inEach('left').map((each) => outcomeAmong(failed, each)) };
        const problem = problemOf(this.#exportOf(storesOf(targets)), error);
        failed.push(...this.#failuresOf(targets, problem, givenUp));
        // Another store can only help where this one is the cause.
        if (!problem.code.startsWith('STORE_')) break;
      }
    }
    return { state: 'failed', stores: this.#inEach('failed').map((each) => outcomeAmong(failed, each)) };
  }

  /**
   * The readings to try, until one succeeds: one for all stores. Changes are tracked for one store, from which the others get copies: there,
   * it is one for each.
   */
  #readings(described: DescribedInstance): readonly Targets[] {
    const { stores, request } = this.#context;
    if (tracksChanges(request, this.#selected.source, described)) return stores.map((first) => ({ first, others: [] }));
    const [first, ...others] = stores;
    return first === undefined ? [] : [{ first, others }];
  }

  async #exportInto(
    targets: Targets,
    described: DescribedInstance,
    onGivenUp: (store: Store, failure: GantryError) => void,
  ): Promise<ExportResult> {
    const { request } = this.#context;
    const selected = this.#selected;
    const { source } = selected;
    const {
      first: { store },
      others,
    } = targets;
    const storeSigners = await this.#signersOf(storesOf(targets));
    const into = { store, alsoInto: others.map((other) => other.store), storeSigners, onGivenUp };
    const subject = { request, selected, described, ...into, signal: this.#signal };
    const hooks = this.#snapshotHooks();
    if (isSentBySource(source, described)) return await exportFromSource({ ...(await askedExport(subject)), hooks, source });
    return await exportInstance({ ...(await askedLocalExport(subject)), hooks });
  }

  async #signersOf(stores: readonly OpenedStore[]): Promise<ReadonlyMap<Store, Signers>> {
    const { request } = this.#context;
    return new Map(await Promise.all(stores.map(async ({ named, store }) => [store, await signersOf(request, named)] as const)));
  }

  /** What became of an export in the stores that it was made for. */
  #outcomesOf(targets: Targets, { reference, stores = [] }: ExportResult): ReadonlyMap<OpenedStore, StoreOfInstance> {
    return new Map(storesOf(targets).map((opened, place) => [opened, this.#outcomeIn(opened, reference, stores[place])]));
  }

  #outcomeIn(opened: OpenedStore, reference: string, found: StoreOutcome | undefined): StoreOfInstance {
    const { named: store } = opened;
    const { outcome = 'exported', code = 'STORE_FAILED', reason = '', copyReason } = found ?? {};
    if (outcome === 'exported') return { store, outcome, reference };
    // Nothing is wrong with a store that was cut off, when the export was complete in another one.
    if (found?.reason === undefined && isWindowEnd(this.#signal.reason)) return { store, outcome: 'left' };
    if (outcome === 'copied') return { store, outcome, reference, code, reason };
    const message = copyReason === undefined || copyReason === reason ? reason : `${reason}; it could not be copied: ${copyReason}`;
    this.#problems.push({ what: this.#exportOf([opened]), code, message });
    return { store, outcome, code, reason: message };
  }

  /** Why an export that is complete nowhere failed in each of its stores. */
  #failuresOf(targets: Targets, problem: RunProblem, givenUp: ReadonlyMap<Store, GantryError>): readonly StoreOfInstance[] {
    const failures = storesOf(targets).map((opened) => {
      const failure = givenUp.get(opened.store);
      return { opened, own: failure === undefined ? undefined : problemOf(this.#exportOf([opened]), failure) };
    });
    const ofStores = failures.flatMap(({ own }) => own ?? []);
    // An export that failed in all stores failed with what failed in the first.
    const isSaid = ofStores.some(({ message }) => message === problem.message);
    this.#problems.push(...(isSaid ? ofStores : [problem, ...ofStores]));
    return failures.map(({ opened: { named: store }, own = problem }) => ({
      store,
      outcome: 'failed',
      code: own.code,
      reason: own.message,
    }));
  }

  /** For problems. */
  #exportOf(stores: readonly OpenedStore[]): string {
    return `export of ${this.#selected.name} into ${stores.map(({ named }) => named).join(' and ')}`;
  }

  /** Copies an export to the stores of which nothing is known yet. */
  async #copyToRest(
    from: OpenedStore,
    reference: string,
    known: ReadonlyMap<OpenedStore, StoreOfInstance>,
  ): Promise<readonly StoreOfInstance[]> {
    const outcomes: StoreOfInstance[] = [];
    for (const opened of this.#context.stores) outcomes.push(known.get(opened) ?? (await this.#copyTo(opened, from, reference)));
    const left = outcomes.flatMap(({ store, outcome }) => (outcome === 'left' ? [store] : []));
    if (left.length > 0) this.#warnings.push(`${reference} is not in ${left.join(' and ')} yet, because the window has ended`);
    return outcomes;
  }

  async #copyTo({ named: store, store: target }: OpenedStore, from: OpenedStore, reference: string): Promise<StoreOfInstance> {
    try {
      const { request } = this.#context;
      const { signal, onEvent } = operationOf(request, this.#selected.name, this.#signal);
      const signers = await copySignersOf(request, { from: from.named, to: store });
      const way = { source: from.store, target, createStore: request.createStore, ...signers };
      const copied = await copyFromStore({ ...way, export: reference, signal, onEvent });
      this.#warnings.push(...copied.warnings);
      return { store, outcome: 'copied', reference };
    } catch (error) {
      this.#runSignal.throwIfAborted();
      if (isWindowEnd(error)) return { store, outcome: 'left' };
      const problem = problemOf(`copy of ${reference} to ${store}`, error);
      this.#problems.push(problem);
      return { store, outcome: 'failed', code: problem.code, reason: problem.message };
    }
  }

  #snapshotHooks(): SnapshotHooks | undefined {
    const { policy } = this.#context.request;
    const facts = { instance: this.#selected.name };
    const before = hookOf(policy, 'before-snapshot', facts);
    const after = hookOf(policy, 'after-snapshot', facts);
    if (before === undefined && after === undefined) return undefined;
    return {
      before,
      after,
      afterFailed: (error) => void this.#problems.push(problemOf(`hook after-snapshot of ${facts.instance}`, error)),
    };
  }

  async #call(name: HookName, facts: Omit<Parameters<typeof hookOf>[2], 'instance'>): Promise<void> {
    const { policy, stateDirectory } = this.#context.request;
    const instance = this.#selected.name;
    const hook = hookOf(policy, name, { instance, ...facts });
    if (hook === undefined) return;
    try {
      // The end of the window does not cut short what says how the export ended.
      await runHook(hook, { stateDirectory, operation: 'run', instance, signal: this.#runSignal });
    } catch (error) {
      this.#runSignal.throwIfAborted();
      this.#problems.push(problemOf(`hook ${name} of ${instance}`, error));
    }
  }
}

/** What becomes of an instance that has an export, by its stores. */
function stateOf(stores: readonly StoreOfInstance[], otherwise: 'exported' | 'present'): Outcome['state'] {
  return stores.some(({ outcome }) => outcome === 'left') ? 'left' : otherwise;
}

function outcomeAmong(known: readonly StoreOfInstance[], otherwise: StoreOfInstance): StoreOfInstance {
  return known.find(({ store }) => store === otherwise.store) ?? otherwise;
}

function storesOf({ first, others }: Targets): readonly OpenedStore[] {
  return [first, ...others];
}
