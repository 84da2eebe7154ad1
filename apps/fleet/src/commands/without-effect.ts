import type { Configuration } from '@gantry/config';
import { storeWorkOf } from '../planner/store-work.ts';

/**
 * What a configuration says of `gantry run` as a whole, and a fleet, which exports one instance with each call, does not heed.
 *
 * @returns one message for each
 */
export function withoutEffect(configuration: Configuration): readonly string[] {
  const { policies, stores } = configuration;
  const ofPolicies = [...policies.values()]
    .filter(({ window, parallel }) => window !== undefined && parallel > 1)
    .map(({ name }) => `parallel of policy ${name} has no effect in a fleet: gantry-fleet agent --parallel limits a node`);
  const ofStores = [...stores.values()]
    .filter(({ parallel }) => parallel !== undefined)
    .map(({ name }) => `parallel of store ${name} has no effect in a fleet: gantry-fleet limit ${name} does that`);
  return [...ofPolicies, ...ofStores, ...storeWorkOf(configuration).undone];
}
