import { DEFAULT_CODEC, GantryError, nearestNames } from '@gantry/core';
import type { Codec } from '@gantry/core';
import type { Configuration, ExportSettings, Policy, RateLimit, StoreSettings } from './model.ts';
import { comparableUrl } from '../addresses/store-address.ts';
import { isName } from '../addresses/name.ts';

/**
 * The store that an address names, if it is a name of the configuration. A directory of the same name is `./NAME`.
 */
export function namedStore(configuration: Configuration, address: string): StoreSettings | undefined {
  return isName(address) ? configuration.stores.get(address) : undefined;
}

/** @throws GantryError `USAGE` that suggests a name, if the configuration has no such policy */
export function policyNamed(configuration: Configuration, name: string): Policy {
  const policy = configuration.policies.get(name);
  if (policy !== undefined) return policy;
  const known = [...configuration.policies.keys()];
  const [nearest] = nearestNames(name, known);
  throw new GantryError('USAGE', {
    message: `there is no policy ${JSON.stringify(name)} in the configuration`,
    hint:
      nearest === undefined
        ? `It has ${known.length === 0 ? 'no policies' : known.join(', ')}; gantry config show says from which files.`
        : `Did you mean ${nearest}?`,
  });
}

/** @throws GantryError as {@link policyNamed}, if the configuration lacks one of these policies */
export function assertPolicies(configuration: Configuration, names: readonly string[]): void {
  for (const name of names) policyNamed(configuration, name);
}

/** What settings are for. */
export interface SettingsScope {
  /** The name of a policy of the configuration. */
  readonly policy?: string | undefined;
  /** A store by its name. One by its address, which is absolute, has the signers of a named store of that address, and nothing else of it. */
  readonly store?: string | undefined;
}

type Layer = Configuration['defaults'];

/** What may say how something is done: the defaults, then the store, then the policy, which counts most. */
function layersOf(configuration: Configuration, { policy, store }: SettingsScope): readonly Layer[] {
  const named = store === undefined ? undefined : (namedStore(configuration, store) ?? guardOf(configuration, store));
  const ofPolicy = policy === undefined ? undefined : configuration.policies.get(policy);
  return [configuration.defaults, ...[named, ofPolicy].flatMap((from) => (from === undefined ? [] : layerOf(from)))];
}

/** Whose exports are good in a store does not depend on how it is named. */
function guardOf({ stores }: Configuration, address: string): { readonly export: ExportSettings } | undefined {
  const url = comparableUrl(address);
  for (const store of stores.values()) {
    const { allowedSigners, requireSignature } = store.export;
    const isGuarded = allowedSigners !== undefined || requireSignature !== undefined;
    if (isGuarded && comparableUrl(store.url) === url) return { export: { allowedSigners, requireSignature } };
  }
  return undefined;
}

function layerOf({ export: settings, limitRate }: { readonly export: ExportSettings; readonly limitRate?: RateLimit | undefined }): Layer {
  return { ...settings, limitRate };
}

/** How much of the bandwidth a store may be read and written with: what the policy says, else the store, else the defaults. */
export function rateLimitOf(configuration: Configuration, scope: SettingsScope): RateLimit | undefined {
  return layersOf(configuration, scope).findLast(({ limitRate }) => limitRate !== undefined)?.limitRate;
}

/** How exports into a store are made: what the policy says, else the store, else the defaults. */
export function exportSettings(configuration: Configuration, scope: SettingsScope): ExportSettings {
  return mergeSettings(layersOf(configuration, scope));
}

interface StoreExportSettings {
  readonly store: string;
  readonly settings: ExportSettings;
}

/**
 * One export into several stores is the same in all: secrets are in it for all of them, or for none, and the same can read it.
 *
 * @throws GantryError `USAGE` if the stores differ in `with-private`, `recipients` or `recipients-files`
 */
export function assertSamePrivacy(stores: readonly StoreExportSettings[]): void {
  assertSamePrivate(stores);
  const keyOf = ({ settings: { recipients = [], recipientsFiles = [] } }: StoreExportSettings): string =>
    JSON.stringify([recipients.toSorted(), recipientsFiles.toSorted()]);
  const [first] = stores;
  const other = first && stores.find((each) => keyOf(each) !== keyOf(first));
  if (first === undefined || other === undefined) return;
  throw new GantryError('USAGE', {
    message: `the recipients for ${first.store} are not those for ${other.store}: one export cannot be for both`,
    hint: 'Say them for all of them: with --recipient, or recipients in the policy or in each store.',
  });
}

function assertSamePrivate(stores: readonly StoreExportSettings[]): void {
  const named = (wanted: boolean): readonly string[] =>
    stores.filter(({ settings }) => (settings.withPrivate === true) === wanted).map(({ store }) => store);
  const [allowed, refused] = [named(true), named(false)];
  if (allowed.length === 0 || refused.length === 0) return;
  throw new GantryError('USAGE', {
    message: `with-private is true for ${allowed.join(', ')}, but not for ${refused.join(', ')}: one export cannot be both`,
    hint: 'Say it for all of them: with --with-private or --no-with-private, or with-private in the policy or in each store.',
  });
}

/** Of the last layer that names some, in one way or the other. */
function recipientsOf(layers: readonly ExportSettings[]): Pick<ExportSettings, 'recipients' | 'recipientsFiles'> {
  const { recipients, recipientsFiles } =
    layers.findLast((layer) => layer.recipients !== undefined || layer.recipientsFiles !== undefined) ?? {};
  return { recipients, recipientsFiles };
}

/**
 * Each setting of the last layer that has it. A level belongs to the codec that it was written for: it does not count where a later layer
 * has another codec.
 */
export function mergeSettings(layers: readonly ExportSettings[]): ExportSettings {
  const first = <K extends keyof ExportSettings>(key: K): ExportSettings[K] => layers.findLast((layer) => layer[key] !== undefined)?.[key];
  const codecAt = (index: number): Codec => layers.slice(0, index + 1).findLast(({ codec }) => codec !== undefined)?.codec ?? DEFAULT_CODEC;
  const codec = codecAt(layers.length - 1);
  return {
    codec: first('codec'),
    level: layers.findLast(({ level }, index) => level !== undefined && codecAt(index) === codec)?.level,
    incremental: first('incremental'),
    fullEvery: first('fullEvery'),
    trackChanges: first('trackChanges'),
    patches: first('patches'),
    snapshot: first('snapshot'),
    snapshotConfig: first('snapshotConfig'),
    snapshotSize: first('snapshotSize'),
    parallel: first('parallel'),
    withPrivate: first('withPrivate'),
    ...recipientsOf(layers),
    signKey: first('signKey'),
    tags: first('tags'),
    identities: first('identities'),
    allowedSigners: first('allowedSigners'),
    requireSignature: first('requireSignature'),
  };
}
