import type { DescribedInstance, ExportResult, Instance, SnapshotHooks } from '@gantry/core';
import { copyFromStore, exportFromSource, exportInstance, GantryError, runHook } from '@gantry/core';
import { askedExport, askedLocalExport, isSentBySource, operationOf } from './export-request.ts';
import type { HookName } from './hooks.ts';
import { hookOf } from './hooks.ts';
import { problemOf } from './problems.ts';
import { recentExport } from './recent-exports.ts';
import type { InstanceOfRun, RunProblem, StoreOfInstance } from './record/form.ts';
import type { OpenedStore, RunContext } from './run-request.ts';
import type { SelectedInstance } from './selection.ts';

/** What became of an instance. */
export type ExportedOne = Pick<InstanceOfRun, 'state' | 'reference' | 'plainBytes' | 'storedBytes' | 'stores' | 'problems' | 'warnings'>;

/** Exports an instance into every store that lacks a recent export of it. Failures are in the result. @throws the signal's reason */
export async function exportOne(context: RunContext, selected: SelectedInstance, signal: AbortSignal): Promise<ExportedOne> {
  return await new InstanceExport(context, selected, signal).run();
}

class InstanceExport {
  readonly #context: RunContext;
  readonly #selected: SelectedInstance;
  readonly #signal: AbortSignal;
  readonly #problems: RunProblem[] = [];
  readonly #warnings: string[] = [];

  constructor(context: RunContext, selected: SelectedInstance, signal: AbortSignal) {
    this.#context = context;
    this.#selected = selected;
    this.#signal = signal;
  }

  async run(): Promise<ExportedOne> {
    const outcome = await this.#work();
    const isGood = outcome.state === 'exported' || outcome.state === 'present';
    if (!isGood || this.#problems.length > 0) await this.#call('on-failure', { error: this.#problems[0], reference: outcome.reference });
    else if (outcome.state === 'exported') await this.#call('on-success', { reference: outcome.reference });
    return { ...outcome, problems: this.#problems, warnings: this.#warnings };
  }

  async #work(): Promise<Omit<ExportedOne, 'problems' | 'warnings'>> {
    try {
      const described = await this.#selected.describe(this.#signal);
      const present = await this.#findRecent(described);
      const known = present.find(({ reference }) => reference !== undefined);
      if (known?.reference === undefined) return await this.#export(described);
      const stores = await this.#copyToRest(known.opened, known.reference, present);
      const isNew = stores.some(({ outcome }) => outcome === 'copied');
      return { state: isNew ? 'exported' : this.#stateOf(stores), reference: known.reference, stores };
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#problems.push(problemOf(this.#selected.name, error));
      return { state: 'failed', stores: this.#context.stores.map(({ named }) => ({ store: named, outcome: 'failed' })) };
    }
  }

  #stateOf(stores: readonly StoreOfInstance[]): 'present' | 'failed' {
    return stores.some(({ outcome }) => outcome === 'present') ? 'present' : 'failed';
  }

  /** Of each store, the export that counts as done. */
  async #findRecent({ instance }: DescribedInstance): Promise<readonly Recent[]> {
    const { stores, since } = this.#context;
    const found: Recent[] = [];
    for (const opened of stores) {
      found.push({ opened, reference: since && (await this.#recentIn(opened, instance, since)) });
    }
    return found;
  }

  /** A store that cannot be asked has none: what is then tried there says why. */
  async #recentIn({ store }: OpenedStore, instance: Instance, since: Date): Promise<string | undefined> {
    try {
      return await recentExport(store, instance, since, this.#signal);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (error instanceof GantryError) return undefined;
      throw error;
    }
  }

  async #export(described: DescribedInstance): Promise<Omit<ExportedOne, 'problems' | 'warnings'>> {
    const { stores } = this.#context;
    const failed: StoreOfInstance[] = [];
    for (const opened of stores) {
      try {
        const result = await this.#exportInto(opened, described);
        this.#warnings.push(...result.warnings);
        const { reference, plainBytes, storedBytes } = result;
        const rest = stores.map((each) => ({ opened: each, reference: each === opened ? reference : undefined }));
        const outcomes = await this.#copyToRest(opened, reference, rest, 'exported');
        return { state: 'exported', reference, plainBytes, storedBytes, stores: outcomes };
      } catch (error) {
        this.#signal.throwIfAborted();
        const problem = problemOf(`export of ${this.#selected.name} into ${opened.named}`, error);
        this.#problems.push(problem);
        failed.push({ store: opened.named, outcome: 'failed', code: problem.code, reason: problem.message });
        // Another store can only help where this one is the cause.
        if (!problem.code.startsWith('STORE_')) break;
      }
    }
    const named = (store: string): StoreOfInstance => failed.find((each) => each.store === store) ?? { store, outcome: 'failed' };
    return { state: 'failed', stores: stores.map((each) => named(each.named)) };
  }

  async #exportInto({ store }: OpenedStore, described: DescribedInstance): Promise<ExportResult> {
    const { request } = this.#context;
    const selected = this.#selected;
    const { source } = selected;
    const subject = { request, selected, described, store, signal: this.#signal };
    const hooks = this.#snapshotHooks();
    if (isSentBySource(source, described)) return await exportFromSource({ ...askedExport(subject), hooks, source });
    return await exportInstance({ ...(await askedLocalExport(subject)), hooks });
  }

  /** Copies an export to the stores that lack it. */
  async #copyToRest(
    from: OpenedStore,
    reference: string,
    stores: readonly Recent[],
    there: 'present' | 'exported' = 'present',
  ): Promise<readonly StoreOfInstance[]> {
    const outcomes: StoreOfInstance[] = [];
    for (const { opened, reference: has } of stores) {
      const store = opened.named;
      if (has !== undefined) {
        outcomes.push({ store, outcome: opened === from ? there : 'present', reference: has });
        continue;
      }
      try {
        const { request } = this.#context;
        const { signal, onEvent } = operationOf(request, this.#selected.name, this.#signal);
        const way = { source: from.store, target: opened.store, createStore: request.createStore };
        const copied = await copyFromStore({ ...way, export: reference, signal, onEvent });
        this.#warnings.push(...copied.warnings);
        outcomes.push({ store, outcome: 'copied', reference });
      } catch (error) {
        this.#signal.throwIfAborted();
        const problem = problemOf(`copy of ${reference} to ${store}`, error);
        this.#problems.push(problem);
        outcomes.push({ store, outcome: 'failed', code: problem.code, reason: problem.message });
      }
    }
    return outcomes;
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
      await runHook(hook, { stateDirectory, operation: 'run', instance, signal: this.#signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#problems.push(problemOf(`hook ${name} of ${instance}`, error));
    }
  }
}

interface Recent {
  readonly opened: OpenedStore;
  readonly reference: string | undefined;
}
