import { nearestNames } from '@gantry/core';
import { placeText } from '@gantry/core/documents';
import type { ConfigurationFile } from './load.ts';
import type { Configuration } from './model.ts';
import { invalid, nearestPlace, STYLE } from './problems.ts';
import type { ConfigurationDocument } from './schema.ts';
import { isName } from './values.ts';

type PolicyDocument = ConfigurationDocument['policies'][string];

interface Reference {
  readonly name: string;
  /** Where it is in its policy. */
  readonly steps: readonly PropertyKey[];
  readonly known: ReadonlyMap<string, unknown>;
  /** What it should name. */
  readonly what: string;
}

/**
 * A name that a policy refers to must be there: taken for a path, it would be another one wherever a command is started.
 *
 * @throws GantryError `CONFIGURATION_INVALID`
 */
export function assertReferences(files: readonly ConfigurationFile[], configuration: Configuration): void {
  const policies = new Map(
    files.flatMap((file) => Object.entries(file.document.policies).map(([name, policy]) => [name, { file, policy }])),
  );
  for (const [policyName, { file, policy }] of policies) {
    const problems = referencesOf(policy, configuration)
      .filter(({ name, known }) => isName(name) && !known.has(name))
      .map(({ steps, ...reference }) => {
        const path = ['policies', policyName, ...steps];
        return { place: placeText(path, STYLE), text: describe(reference), at: nearestPlace(file.yaml, path) };
      });
    if (problems.length > 0) throw invalid(file.path, { problems, count: problems.length });
  }
}

function referencesOf({ stores, copies, instances }: PolicyDocument, known: Configuration): readonly Reference[] {
  const toStore = { known: known.stores, what: 'a store' };
  return [
    ...stores.map((name, index) => ({ ...toStore, name, steps: ['stores', index] })),
    ...copies.map(({ to: name }, index) => ({ ...toStore, name, steps: ['copies', index, 'to'] })),
    ...instances.map(({ source: name }, index) => ({ known: known.inventories, what: 'an inventory', name, steps: ['instances', index] })),
  ];
}

function describe({ name, known, what }: Omit<Reference, 'steps'>): string {
  const [nearest] = nearestNames(name, [...known.keys()]);
  const end = nearest === undefined ? `a directory of that name is ./${name}` : `did you mean ${nearest}?`;
  return `is ${name}, which is not the name of ${what}; ${end}`;
}
