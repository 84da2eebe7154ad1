import { DEFAULT_CODEC } from '@gantry/core';
import type { Configuration, ExportSettings, Origin } from './model.ts';
import type { SettingsScope } from './names.ts';
import { exportSettings, mergeSettings, namedStore } from './names.ts';

/** One value, as it was written. */
export interface WrittenValue {
  /** Such as `stores.nightly.url`. */
  readonly path: string;
  readonly text: string;
  readonly origin: Origin;
}

/** Every single value of the configuration that counts. Passwords do not belong in addresses, and are not shown. */
export function writtenValues({ origins }: Configuration): readonly WrittenValue[] {
  return [...origins].flatMap(([path, origin]) =>
    origin.text === undefined ? [] : [{ path, text: withoutPassword(origin.text), origin }],
  );
}

/** An address as it may be shown. A password may have any character; what begins with a port does not. */
export function withoutPassword(text: string): string {
  return text.replace(/(:\/\/[^/:@\s]*):(?!\d{1,5}[/?])\S*@/, '$1:***@');
}

/** A value as it may be shown: neither a password, nor an identity that was put in the place of a recipient. */
export function withoutSecret(text: string): string {
  return /AGE-SECRET-KEY-/i.test(text) ? '(not a recipient)' : withoutPassword(text);
}

/** A setting that counts for an export, and where it comes from. */
export interface ExplainedSetting {
  /** As in gantry.yaml. */
  readonly name: string;
  readonly text: string;
  /** `GANTRY_CODEC`, `policies.web.codec`, `built in`. */
  readonly from: string;
  readonly origin?: Origin | undefined;
}

/** What says one of them says it for both. */
const RECIPIENTS: readonly string[] = ['recipients', 'recipients-files'];

/** What counts where nothing says it, in words. */
const BUILT_IN: Readonly<Record<string, string>> = {
  codec: DEFAULT_CODEC,
  level: 'as the codec has it',
  incremental: 'false',
  'full-every': 'never',
  'track-changes': 'false',
  patches: 'true',
  snapshot: 'auto',
  'snapshot-config': 'none',
  'snapshot-size': '20%',
  'parallel-disks': '4',
  'with-private': 'in sealed exports only',
  recipients: 'none',
  'recipients-files': 'none',
  'sign-key': 'none',
  tags: 'none',
  identity: 'none',
  'allowed-signers': 'none',
  'require-signature': 'false',
  'limit-rate': 'unlimited',
};

/** A text that the environment has for a setting, and the name of its variable. */
export type SettingVariables = Readonly<Record<string, { readonly variable: string; readonly text: string }>>;

/**
 * What counts for exports of a policy into a store, and why.
 *
 * @param environment what variables say: as texts by the names of the settings, and read
 */
export function explainSettings(
  configuration: Configuration,
  { policy, store }: SettingsScope,
  environment: { readonly texts: SettingVariables; readonly settings: ExportSettings },
): readonly ExplainedSetting[] {
  const { level } = mergeSettings([exportSettings(configuration, { policy, store }), environment.settings]);
  const groups = [
    ...(policy === undefined ? [] : [`policies.${policy}`]),
    ...(store !== undefined && namedStore(configuration, store) !== undefined ? [`stores.${store}`] : []),
    'defaults',
  ];
  const says = (group: string): boolean => RECIPIENTS.some((name) => configuration.origins.has(`${group}.${name}`));
  const hasVariable = RECIPIENTS.some((name) => environment.texts[name] !== undefined);
  const namesRecipients = groups.find(says);
  const groupsFor = (name: string): readonly string[] => {
    if (!RECIPIENTS.includes(name)) return groups;
    return hasVariable || namesRecipients === undefined ? [] : [namesRecipients];
  };
  return Object.entries(BUILT_IN).map(([name, builtIn]) => {
    const candidates = candidatesFor(configuration, { name, groups: groupsFor(name), variable: environment.texts[name] });
    // One that was written for another codec does not count.
    const counts = name === 'level' ? candidates.find(({ text }) => text === String(level)) : candidates[0];
    return counts ?? { name, text: builtIn, from: 'built in' };
  });
}

/** What says a setting, the strongest first. */
function candidatesFor(
  { origins }: Configuration,
  {
    name,
    groups,
    variable,
  }: { readonly name: string; readonly groups: readonly string[]; readonly variable: SettingVariables[string] | undefined },
): readonly ExplainedSetting[] {
  const written = groups.flatMap((group) => {
    const from = `${group}.${name}`;
    const origin = origins.get(from);
    return origin === undefined ? [] : [{ name, text: textAt(origins, from), from, origin }];
  });
  return [...(variable === undefined ? [] : [{ name, text: withoutSecret(variable.text), from: variable.variable }]), ...written];
}

/** A value as one line, also of a list or a group. */
function textAt(origins: ReadonlyMap<string, Origin>, path: string): string {
  const own = origins.get(path)?.text;
  if (own !== undefined) return own;
  const within = [...origins].flatMap(([place, { text }]) => {
    if (text === undefined || !place.startsWith(path)) return [];
    const step = place.slice(path.length);
    if (step.startsWith('[')) return [text];
    return step.startsWith('.') ? [`${step.slice(1)}: ${text}`] : [];
  });
  return within.length === 0 ? 'none' : within.join(', ');
}
