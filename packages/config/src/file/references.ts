import { nearestNames } from '@gantry/core';
import { placeText } from '@gantry/core/documents';
import { comparableUrl } from '../addresses/store-address.ts';
import type { ConfigurationFile } from './read-files.ts';
import type { Configuration } from './model.ts';
import { invalid, nearestPlace, STYLE } from './problems.ts';
import type { ConfigurationDocument } from './schema.ts';
import { isName } from '../addresses/name.ts';

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
 * A name that a policy refers to must be there: taken for a path, it would be another one wherever a command is started. And it refers
 * to each store once: otherwise exports that one retention keeps are removed by the other.
 *
 * @throws GantryError `CONFIGURATION_INVALID`
 */
export function assertReferences(files: readonly ConfigurationFile[], configuration: Configuration): void {
  const policies = new Map(
    files.flatMap((file) => Object.entries(file.document.policies).map(([name, policy]) => [name, { file, policy }])),
  );
  for (const [policyName, { file, policy }] of policies) {
    const unknown = referencesOf(policy, configuration)
      .filter(({ name, known }) => isName(name) && !known.has(name))
      .map(({ steps, ...reference }) => ({ steps, text: describe(reference) }));
    const problems = [...unknown, ...repeatedStores(policy, configuration)].map(({ steps, text }) => {
      const path = ['policies', policyName, ...steps];
      return { place: placeText(path, STYLE), text, at: nearestPlace(file.yaml, path) };
    });
    if (problems.length > 0) throw invalid(file.path, { problems, count: problems.length });
  }
}

function storesOf({ stores, copies }: PolicyDocument): readonly Pick<Reference, 'name' | 'steps'>[] {
  return [
    ...stores.map((name, index) => ({ name, steps: ['stores', index] })),
    ...copies.map(({ to: name }, index) => ({ name, steps: ['copies', index, 'to'] })),
  ];
}

/** Stores that a policy has twice, also under two names or as an address. */
function repeatedStores(
  policy: PolicyDocument,
  { stores }: Configuration,
): readonly (Pick<Reference, 'steps'> & { readonly text: string })[] {
  const first = new Map<string, readonly PropertyKey[]>();
  return storesOf(policy).flatMap(({ name, steps }) => {
    const url = comparableUrl(stores.get(name)?.url ?? name);
    const other = first.get(url);
    if (other !== undefined) return [{ steps, text: `is ${name}, the same store as ${placeText(other, STYLE)}` }];
    first.set(url, steps);
    return [];
  });
}

function referencesOf(policy: PolicyDocument, known: Configuration): readonly Reference[] {
  return [
    ...storesOf(policy).map(({ name, steps }) => ({ name, steps, known: known.stores, what: 'a store' })),
    ...policy.instances.map(({ source: name }, index) => ({
      known: known.inventories,
      what: 'an inventory',
      name,
      steps: ['instances', index],
    })),
  ];
}

function describe({ name, known, what }: Omit<Reference, 'steps'>): string {
  const [nearest] = nearestNames(name, [...known.keys()]);
  const end = nearest === undefined ? `a directory of that name is ./${name}` : `did you mean ${nearest}?`;
  return `is ${name}, which is not the name of ${what}; ${end}`;
}
