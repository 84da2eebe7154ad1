import type { DataSet } from './data-sets.ts';
import { DATA_SETS } from './data-sets.ts';

/** What is measured, each with its own contestants. */
export const GROUPS = ['tools', 'memory', 'sealed', 'scaling', 'ssh', 's3'] as const;
export type Group = (typeof GROUPS)[number];

/** The data sets that are encrypted, too. */
const SEALED_SETS: readonly DataSet[] = ['mixed', 'dense'];

export interface Choices {
  readonly groups: readonly Group[];
  /** Of the group `tools`. */
  readonly sets: readonly DataSet[];
  /** Of the group `sealed`. */
  readonly sealedSets: readonly DataSet[];
}

/**
 * What the options name, separated by commas.
 *
 * @throws Error for a name that is unknown, and where nothing would be measured: empty tables would take the place of those in the docs
 */
export function parseChoices({ group, set }: { readonly group: string; readonly set: string }): Choices {
  const groups = namesIn(group, 'group', GROUPS);
  const sets = namesIn(set, 'data set', namesOf(DATA_SETS));
  const sealedSets = sets.filter((kind) => SEALED_SETS.includes(kind));
  if (sealedSets.length === 0 && groups.every((name) => name === 'sealed'))
    throw new Error(`nothing to measure: the group sealed has the data sets ${SEALED_SETS.join(', ')}`);
  return { groups, sets, sealedSets };
}

function namesIn<T extends string>(text: string, what: string, names: readonly T[]): readonly T[] {
  return text.split(',').map((name) => {
    const found = names.find((each) => each === name);
    if (found === undefined) throw new Error(`unknown ${what} ${name}: use ${names.join(', ')}`);
    return found;
  });
}

function namesOf(sets: Readonly<Record<DataSet, unknown>>): readonly DataSet[] {
  return Object.keys(sets).filter((name): name is DataSet => name in sets);
}
