import type { ConfigurationFile } from './read-files.ts';
import type { Configuration, ExportSettings, Hooks, NotifySettings, Origin, Policy, RateLimit, StoreSettings } from './model.ts';
import type { ConfigurationDocument } from './schema.ts';

type StoreDocument = ConfigurationDocument['stores'][string];
type PolicyDocument = ConfigurationDocument['policies'][string];
type ExportDocument = Omit<ConfigurationDocument['defaults'], 'limit-rate'>;
type RateDocument = NonNullable<ConfigurationDocument['defaults']['limit-rate']>;

/** Puts the files together: what comes later counts. */
export function toConfiguration(files: readonly ConfigurationFile[], origins: ReadonlyMap<string, Origin>): Configuration {
  const documents = files.map(({ document }) => document);
  const entries = <T>(section: (document: ConfigurationDocument) => Readonly<Record<string, T>>): [string, T][] =>
    documents.flatMap((document) => Object.entries(section(document)));
  const defaults = merged(documents.map((document) => document.defaults)) ?? {};
  const notify = merged(documents.flatMap((document) => document.notify ?? []));
  return {
    files: files.map(({ path }) => path),
    stores: new Map(entries(({ stores }) => stores).map(([name, store]) => [name, storeOf(name, store)])),
    inventories: new Map(entries(({ inventories }) => inventories)),
    policies: new Map(entries(({ policies }) => policies).map(([name, policy]) => [name, policyOf(name, policy)])),
    host: merged(documents.map(({ host }) => host)) ?? {},
    defaults: { ...exportSettingsOf(defaults), ...limitOf(defaults) },
    ...(notify === undefined ? {} : { notify: notifyOf(notify) }),
    metrics: merged(documents.map(({ metrics }) => metrics)) ?? {},
    origins,
  };
}

/** Each field of the last group that has it. */
function merged<T extends object>(groups: readonly T[]): T | undefined {
  return groups.reduce<T | undefined>((all, group) => (all === undefined ? { ...group } : Object.assign(all, group)), undefined);
}

function storeOf(name: string, { url, parallel, node, ...rest }: StoreDocument): StoreSettings {
  return { name, url, parallel, node, ...limitOf(rest), export: exportSettingsOf(rest) };
}

function policyOf(name: string, document: PolicyDocument): Policy {
  const { instances, stores, retention, verify, copies, parallel, window, nice, io } = document;
  return {
    name,
    instances,
    stores,
    export: exportSettingsOf(document),
    retention,
    verify,
    copies,
    maxAgeMs: document['max-age'],
    parallel,
    window: window === undefined ? undefined : { ...window, atEnd: document['at-window-end'] },
    priority: { nice, io },
    ...limitOf(document),
    hooks: hooksOf(document.hooks),
  };
}

function exportSettingsOf(document: ExportDocument): ExportSettings {
  const { codec, level, incremental, patches, snapshot, tags, identity: identities } = document;
  return {
    codec,
    level,
    incremental,
    fullEvery: document['full-every'],
    trackChanges: document['track-changes'],
    patches,
    snapshot,
    snapshotConfig: document['snapshot-config'],
    snapshotSize: document['snapshot-size'],
    parallel: document['parallel-disks'],
    withPrivate: document['with-private'],
    recipients: document.recipients,
    recipientsFiles: document['recipients-files'],
    signKey: document['sign-key'],
    tags,
    identities,
    allowedSigners: document['allowed-signers'],
    requireSignature: document['require-signature'],
  };
}

function limitOf(document: { readonly 'limit-rate'?: RateDocument }): { readonly limitRate?: RateLimit } {
  const limit = document['limit-rate'];
  if (limit === undefined) return {};
  const bytes = (rate: number | 'unlimited'): number | undefined => (rate === 'unlimited' ? undefined : rate);
  const at = limit.at.map(({ range, bytesPerSecond }) => ({ range, bytesPerSecond: bytes(bytesPerSecond) }));
  return { limitRate: { bytesPerSecond: bytes(limit.always), at } };
}

function hooksOf(hooks: PolicyDocument['hooks']): Hooks {
  return {
    beforeSnapshot: hooks['before-snapshot'],
    afterSnapshot: hooks['after-snapshot'],
    onSuccess: hooks['on-success'],
    onFailure: hooks['on-failure'],
    timeoutMs: hooks.timeout,
  };
}

export const SENDMAIL = '/usr/sbin/sendmail';

/** What no file says gets its default here: in one document it would replace what an earlier file says. */
function notifyOf({ on = 'failure', mail, command }: NonNullable<ConfigurationDocument['notify']>): NotifySettings {
  return { on, mail: mail && { ...mail, sendmail: mail.sendmail ?? SENDMAIL }, command };
}
