import { stat } from 'node:fs/promises';
import type { Configuration, InstanceSelection, OpenContext } from '@gantry/config';
import { openInstanceSource, openSourceOf } from '@gantry/config';
import type { DescribedInstance } from '@gantry/core';
import { describeFrom, GantryError, listFrom, matchesName } from '@gantry/core';
import type { InstanceSource, RunState } from '@gantry/core/inventory';
import { problemOf } from './problems.ts';
import type { RunProblem } from './record/form.ts';

/** An instance that a policy selects. */
export interface SelectedInstance {
  readonly name: string;
  /** What its source finds it by. */
  readonly key: string;
  /** Its source, as the policy names it. */
  readonly from: string;
  /** Open until the selection is disposed. */
  readonly source: InstanceSource;
  /** Whether it ran when its source was asked for all instances, and where. */
  readonly run: RunState;
  /** Asks the source what the instance is now. @throws GantryError `INSTANCE_*`, `INVENTORY_*`; the signal's reason */
  readonly describe: (signal: AbortSignal) => Promise<DescribedInstance>;
}

/** The instances of a policy. Disposing closes their sources. */
export interface Selection extends AsyncDisposable {
  /** In the order of the policy, each name once. */
  readonly instances: readonly SelectedInstance[];
  /** Sources and instances that could not be found. */
  readonly problems: readonly RunProblem[];
  readonly warnings: readonly string[];
}

export interface SelectionOptions extends OpenContext {
  readonly configuration: Configuration;
  /** Names with `*`: only these of them. */
  readonly only?: readonly string[] | undefined;
}

/** Finds the instances that a policy selects. What a source cannot say becomes a problem, and the others count. @throws the signal's reason */
export async function selectInstances(selections: readonly InstanceSelection[], options: SelectionOptions): Promise<Selection> {
  await using scope = new AsyncDisposableStack();
  const sources = new OpenSources(options, scope);
  const found = new Map<string, SelectedInstance>();
  const problems = new Problems();
  for (const selection of selections) {
    try {
      for (const instance of await instancesOf(selection, sources, problems, options.signal)) {
        const other = found.get(instance.name);
        if (other === undefined) found.set(instance.name, instance);
        else if (!isSame(other, instance)) problems.add(`instances of ${instance.from}`, sameName(other, instance));
      }
    } catch (error) {
      options.signal.throwIfAborted();
      problems.add(`instances of ${selection.source}`, error);
    }
  }
  const { only } = options;
  const unknown = (only ?? []).filter((pattern) => !pattern.includes('*') && !found.has(pattern));
  for (const name of unknown) problems.add('instances of the policy', notSelected(name));
  const instances = [...found.values()].filter(({ name }) => only === undefined || only.some((pattern) => matchesName(pattern, name)));
  const held = scope.move();
  return { instances, problems: problems.all, warnings: [...sources.warnings], [Symbol.asyncDispose]: () => held.disposeAsync() };
}

/** The same instance of the same source, which several parts of the policy select. */
function isSame(a: SelectedInstance, b: SelectedInstance): boolean {
  return a.source.address === b.source.address && a.key === b.key;
}

/** Each once: a source that is listed twice fails twice. */
class Problems {
  readonly #all = new Map<string, RunProblem>();

  get all(): readonly RunProblem[] {
    return [...this.#all.values()];
  }

  add(what: string, error: unknown): void {
    const problem = problemOf(what, error);
    this.#all.set(JSON.stringify(problem), problem);
  }
}

/** Each source is opened once. */
class OpenSources {
  /** Each once: a source that is listed twice says the same twice. */
  readonly warnings = new Set<string>();
  readonly #options: SelectionOptions;
  readonly #scope: AsyncDisposableStack;
  readonly #open = new Map<string, { readonly source: InstanceSource; readonly name?: string }>();

  constructor(options: SelectionOptions, scope: AsyncDisposableStack) {
    this.#options = options;
    this.#scope = scope;
  }

  /** @returns with `name`, if the address is that of one instance file */
  async of(named: string): Promise<{ readonly source: InstanceSource; readonly name?: string }> {
    const address = this.#options.configuration.inventories.get(named) ?? named;
    const known = this.#open.get(address);
    if (known !== undefined) return known;
    const context = { ...this.#options, warn: (message: string): void => void this.warnings.add(message) };
    const opened = (await isInstanceFile(address))
      ? await openSourceOf(address, context)
      : { source: await openInstanceSource(address, context) };
    this.#scope.use(opened.source);
    this.#open.set(address, opened);
    return opened;
  }
}

async function isInstanceFile(address: string): Promise<boolean> {
  if (!address.startsWith('/')) return false;
  const stats = await stat(address).catch(() => undefined);
  return stats === undefined ? /\.(yaml|yml|json)$/i.test(address) : !stats.isDirectory();
}

async function instancesOf(
  selection: InstanceSelection,
  sources: OpenSources,
  problems: Problems,
  signal: AbortSignal,
): Promise<readonly SelectedInstance[]> {
  const { source: from, names, tags, except = [] } = selection;
  const { source, name: file } = await sources.of(from);
  const selected = (name: string, run: RunState, key = name): SelectedInstance => ({
    name,
    key,
    from,
    source,
    run,
    describe: async (signal) => assertName(name, await describeFrom(source, key, { signal })),
  });
  const isLeftOut = (name: string): boolean => except.some((pattern) => matchesName(pattern, name));
  if (file !== undefined) {
    const { instance, run } = await describeFrom(source, file, { signal });
    return isLeftOut(instance.name) ? [] : [selected(instance.name, run, file)];
  }
  const listed = await listFrom(source, {
    patterns: names,
    tags,
    signal,
    onProblem: (error) => problems.add(`instances of ${from}`, error),
  });
  const kept = listed.filter(({ name }) => !isLeftOut(name));
  const missing = (names ?? []).filter((pattern) => !pattern.includes('*') && !listed.some(({ name }) => name === pattern));
  for (const name of missing) problems.add(`instances of ${from}`, notFound(name, selection));
  if (kept.length === 0 && missing.length === 0) problems.add(`instances of ${from}`, nothingOf(selection));
  return kept.map(({ name, run, key }) => selected(name, run, key));
}

/** Exports belong to the name under which the instance was selected, and so does what is removed. */
function assertName(name: string, described: DescribedInstance): DescribedInstance {
  if (described.instance.name === name) return described;
  throw new GantryError('INSTANCE_AMBIGUOUS', {
    message: `${described.source} lists ${name}, and then describes ${described.instance.name}`,
    hint: 'Run it again if the instance was renamed just now; otherwise tell the authors of its inventory.',
  });
}

function notFound(name: string, { source, tags }: InstanceSelection): GantryError {
  const with_ = tags === undefined ? '' : ` with the tags ${tags.join(', ')}`;
  return new GantryError('INSTANCE_NOT_FOUND', {
    message: `${source} has no instance ${name}${with_}`,
    hint: `See gantry instances ${source}.`,
  });
}

function notSelected(name: string): GantryError {
  return new GantryError('INSTANCE_NOT_FOUND', {
    message: `the policy selects no instance ${name}`,
    hint: 'gantry run POLICY --dry-run shows the instances of the policy.',
  });
}

/** A policy that exports nothing is a mistake, or the source lacks what it had. */
function nothingOf({ source }: InstanceSelection): GantryError {
  return new GantryError('INSTANCE_NOT_FOUND', {
    message: `the policy selects no instance of ${source}`,
    hint: `See gantry instances ${source}, and names, tags and except in the policy.`,
  });
}

/** Exports are found by the name of their instance: those of two would be taken for those of one. */
function sameName(first: SelectedInstance, { name, from }: SelectedInstance): GantryError {
  return new GantryError('INSTANCE_AMBIGUOUS', {
    message: `${from} has an instance ${name}, and so has ${first.from}: only that of ${first.from} is exported`,
    hint: 'Leave one of them out with except.',
  });
}
