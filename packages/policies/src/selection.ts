import { stat } from 'node:fs/promises';
import type { Configuration, InstanceSelection, OpenContext } from '@gantry/config';
import { openInstanceSource, openSourceOf } from '@gantry/config';
import type { DescribedInstance } from '@gantry/core';
import { describeFrom, GantryError, listFrom, matchesName } from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import { problemOf } from './problems.ts';
import type { RunProblem } from './record/form.ts';

/** An instance that a policy selects. */
export interface SelectedInstance {
  readonly name: string;
  /** Its source, as the policy names it. */
  readonly from: string;
  /** Open until the selection is disposed. */
  readonly source: InstanceSource;
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
  const problems: RunProblem[] = [];
  for (const selection of selections) {
    try {
      for (const instance of await instancesOf(selection, sources, problems, options.signal)) {
        const other = found.get(instance.name);
        if (other === undefined) found.set(instance.name, instance);
        else if (other.source.address !== instance.source.address) problems.push(sameName(other, instance));
      }
    } catch (error) {
      options.signal.throwIfAborted();
      problems.push(problemOf(`instances of ${selection.source}`, error));
    }
  }
  const { only } = options;
  const instances = [...found.values()].filter(({ name }) => only === undefined || only.some((pattern) => matchesName(pattern, name)));
  const held = scope.move();
  return { instances, problems, warnings: [...sources.warnings], [Symbol.asyncDispose]: () => held.disposeAsync() };
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
  problems: RunProblem[],
  signal: AbortSignal,
): Promise<readonly SelectedInstance[]> {
  const { source: from, names, tags, except = [] } = selection;
  const { source, name: file } = await sources.of(from);
  const selected = (name: string, key = name): SelectedInstance => ({
    name,
    from,
    source,
    describe: (signal) => describeFrom(source, key, { signal }),
  });
  const isLeftOut = (name: string): boolean => except.some((pattern) => matchesName(pattern, name));
  if (file !== undefined) {
    const { instance } = await describeFrom(source, file, { signal });
    return isLeftOut(instance.name) ? [] : [selected(instance.name, file)];
  }
  const listed = await listFrom(source, { patterns: names, tags, signal });
  const kept = listed.filter(({ name }) => !isLeftOut(name));
  const missing = (names ?? []).filter((pattern) => !pattern.includes('*') && !listed.some(({ name }) => name === pattern));
  problems.push(...missing.map((name) => notFound(name, selection)));
  if (kept.length === 0 && missing.length === 0) problems.push(nothingOf(selection));
  return kept.map(({ name }) => selected(name));
}

function notFound(name: string, { source, tags }: InstanceSelection): RunProblem {
  const with_ = tags === undefined ? '' : ` with the tags ${tags.join(', ')}`;
  const error = new GantryError('INSTANCE_NOT_FOUND', {
    message: `${source} has no instance ${name}${with_}`,
    hint: `See gantry instances ${source}.`,
  });
  return problemOf(`instances of ${source}`, error);
}

/** A policy that exports nothing is a mistake, or the source lacks what it had. */
function nothingOf({ source }: InstanceSelection): RunProblem {
  const error = new GantryError('INSTANCE_NOT_FOUND', {
    message: `the policy selects no instance of ${source}`,
    hint: `See gantry instances ${source}, and names, tags and except in the policy.`,
  });
  return problemOf(`instances of ${source}`, error);
}

/** Exports are found by the name of their instance: those of two would be taken for those of one. */
function sameName(first: SelectedInstance, { name, from }: SelectedInstance): RunProblem {
  const error = new GantryError('INSTANCE_AMBIGUOUS', {
    message: `${from} has an instance ${name}, and so has ${first.from}: only that of ${first.from} is exported`,
    hint: 'Leave one of them out with except.',
  });
  return problemOf(`instances of ${from}`, error);
}
