import { GantryError, nearestNames } from '@gantry/core';
import type { Configuration, ExportSettings, StoreSettings } from './model.ts';
import { isName } from './schema.ts';

/**
 * The store that an address names, if it is a name of the configuration. A directory of the same name is `./NAME`.
 */
export function namedStore(configuration: Configuration, address: string): StoreSettings | undefined {
  return isName(address) ? configuration.stores.get(address) : undefined;
}

/** The address of a source of instances: that of an inventory of the configuration, or what was given. */
export function addressOfSource(configuration: Configuration, address: string): string {
  return (isName(address) ? configuration.inventories.get(address) : undefined) ?? address;
}

/** @throws GantryError `USAGE` that suggests a name, if the configuration has no such policy */
export function assertPolicies(configuration: Configuration, names: readonly string[]): void {
  const unknown = names.find((name) => !configuration.policies.has(name));
  if (unknown === undefined) return;
  const known = [...configuration.policies.keys()];
  const [nearest] = nearestNames(unknown, known);
  throw new GantryError('USAGE', {
    message: `there is no policy ${JSON.stringify(unknown)} in the configuration`,
    hint:
      nearest === undefined
        ? `It has ${known.length === 0 ? 'no policies' : known.join(', ')}; gantry config show says from which files.`
        : `Did you mean ${nearest}?`,
  });
}

/** How exports into a store are made: what the policy says, else the store, else the defaults. */
export function exportSettings(
  configuration: Configuration,
  { policy, store }: { readonly policy?: string | undefined; readonly store?: string | undefined },
): ExportSettings {
  const layers: readonly (ExportSettings | undefined)[] = [
    configuration.defaults,
    store === undefined ? undefined : namedStore(configuration, store)?.export,
    policy === undefined ? undefined : configuration.policies.get(policy)?.export,
  ];
  const first = <K extends keyof ExportSettings>(key: K): ExportSettings[K] =>
    layers.findLast((layer) => layer?.[key] !== undefined)?.[key];
  return {
    codec: first('codec'),
    level: first('level'),
    incremental: first('incremental'),
    fullEvery: first('fullEvery'),
    trackChanges: first('trackChanges'),
    snapshot: first('snapshot'),
    snapshotConfig: first('snapshotConfig'),
    snapshotSize: first('snapshotSize'),
    parallel: first('parallel'),
    withPrivate: first('withPrivate'),
    tags: first('tags'),
  };
}
