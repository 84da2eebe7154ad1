import { dirname, resolve } from 'node:path';
import type { GantryError } from '@gantry/core';
import type { DocumentKind, DocumentProblem, YamlDocument } from '@gantry/core/documents';
import { invalidDocument, placeText, problemsOf, readSmallFile, readYaml } from '@gantry/core/documents';
import { assertTrusted, unreadable, WITHOUT_HINT } from './files.ts';
import { toConfiguration } from './meaning.ts';
import type { Configuration, Origin } from './model.ts';
import { invalid, nearestPlace, STYLE } from './problems.ts';
import { assertReferences } from './references.ts';
import type { ConfigurationDocument } from './schema.ts';
import { checkConfiguration } from './schema.ts';
import { isName } from '../addresses/name.ts';

const KIND: DocumentKind = {
  what: 'configuration',
  syntaxCode: 'CONFIGURATION_SYNTAX',
  hint: `gantry schema config prints the format of gantry.yaml. ${WITHOUT_HINT}`,
};
/** One file that was read and checked. */
export interface ConfigurationFile {
  readonly path: string;
  readonly document: ConfigurationDocument;
  readonly yaml: YamlDocument;
}

/**
 * What the files say, the last of them most.
 *
 * @param levels paths, later levels over earlier ones; within a level, each name is given once
 * @throws GantryError as `loadConfiguration`
 */
export async function readFiles(levels: readonly (readonly string[])[], signal: AbortSignal | undefined): Promise<Configuration> {
  const files: ConfigurationFile[] = [];
  for (const level of levels) {
    const ofLevel = await Promise.all(level.map((path) => readFile(path, signal)));
    assertNamesOnce(ofLevel);
    files.push(...ofLevel);
  }
  const origins = new Map<string, Origin>();
  for (const file of files) addOrigins(origins, file);
  const configuration = toConfiguration(files, origins);
  assertReferences(files, configuration);
  return configuration;
}

async function readFile(path: string, signal: AbortSignal | undefined): Promise<ConfigurationFile> {
  await assertTrusted(path);
  const yaml = readYaml(await readText(path, signal), path, KIND);
  const checked = await checkConfiguration(yaml.value);
  if (checked.success) return { path, document: withAbsolutePaths(checked.data, dirname(path)), yaml };
  const { problems, count } = problemsOf(checked.error.issues, STYLE);
  const placed = problems.map(({ place, text, path: steps = [] }) => ({ place, text, at: nearestPlace(yaml, steps) }));
  throw invalid(path, { problems: placed, count });
}

async function readText(path: string, signal: AbortSignal | undefined): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readSmallFile(path, signal));
  } catch (error) {
    signal?.throwIfAborted();
    throw unreadable(path, error instanceof TypeError ? new Error('it is not UTF-8 text') : error);
  }
}

/** Settings that name files. */
interface PathsOfSettings {
  'snapshot-config'?: string;
  'recipients-files'?: string[];
  identity?: string[];
  'sign-key'?: string;
  'allowed-signers'?: string;
}

/** Relative paths in a file count from its directory, as in instance files. */
function withAbsolutePaths(document: ConfigurationDocument, directory: string): ConfigurationDocument {
  const absolute = (path: string): string => resolve(directory, path);
  const address = (text: string): string => (/^[./]/.test(text) || (!text.includes(':') && !isName(text)) ? absolute(text) : text);
  const settings = <T extends PathsOfSettings>(group: T): T => ({
    ...group,
    ...(group['snapshot-config'] === undefined ? {} : { 'snapshot-config': absolute(group['snapshot-config']) }),
    ...(group['recipients-files'] === undefined ? {} : { 'recipients-files': group['recipients-files'].map(absolute) }),
    ...(group.identity === undefined ? {} : { identity: group.identity.map(absolute) }),
    ...(group['sign-key'] === undefined ? {} : { 'sign-key': absolute(group['sign-key']) }),
    ...(group['allowed-signers'] === undefined ? {} : { 'allowed-signers': absolute(group['allowed-signers']) }),
  });
  const each = <T>(entries: Readonly<Record<string, T>>, change: (entry: T) => T): Record<string, T> =>
    Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, change(entry)]));
  return {
    ...document,
    stores: each(document.stores, (store) => settings({ ...store, url: isName(store.url) ? absolute(store.url) : address(store.url) })),
    inventories: each(document.inventories, (text) => (isName(text) ? absolute(text) : address(text))),
    policies: each(document.policies, (policy) =>
      settings({
        ...policy,
        instances: policy.instances.map((selection) => ({ ...selection, source: address(selection.source) })),
        stores: policy.stores.map(address),
        copies: policy.copies.map((copy) => ({ ...copy, to: address(copy.to) })),
      }),
    ),
    defaults: settings(document.defaults),
    metrics:
      document.metrics.textfile === undefined ? document.metrics : { ...document.metrics, textfile: absolute(document.metrics.textfile) },
  };
}

const NAMED = ['stores', 'inventories', 'policies'] as const;

function assertNamesOnce(files: readonly ConfigurationFile[]): void {
  const seen = new Map<string, ConfigurationFile>();
  for (const file of files) {
    for (const section of NAMED) {
      for (const name of Object.keys(file.document[section])) {
        const place = `${section}.${name}`;
        const before = seen.get(place);
        if (before !== undefined) throw givenTwice(before, file, [section, name]);
        seen.set(place, file);
      }
    }
  }
}

function givenTwice(before: ConfigurationFile, file: ConfigurationFile, path: readonly string[]): GantryError {
  const line = before.yaml.placeOf(path)?.line;
  const problem: DocumentProblem = {
    place: placeText(path, STYLE),
    text: `is given in ${before.path}${line === undefined ? '' : `:${line}`}, too`,
    at: file.yaml.placeOf(path),
  };
  return invalidDocument('CONFIGURATION_INVALID', { source: file.path, problems: [problem], count: 1, hint: 'Keep one of them.' });
}

/** Groups of which each field counts for itself. */
const MERGED = ['host', 'defaults', 'notify', 'metrics'] as const;

/** Later files replace what earlier ones said: whole entries, or single fields. */
function addOrigins(origins: Map<string, Origin>, { path: file, yaml, document }: ConfigurationFile): void {
  const replaced = [
    ...NAMED.flatMap((section) => Object.keys(document[section]).map((name) => `${section}.${name}`)),
    ...MERGED.flatMap((section) => Object.keys(document[section] ?? {}).map((field) => `${section}.${field}`)),
  ].filter((place) => yaml.placeOf(place.split('.')) !== undefined);
  for (const known of origins.keys()) if (replaced.some((place) => isAtOrBelow(known, place))) origins.delete(known);
  const add = (value: unknown, path: readonly PropertyKey[]): void => {
    const at = yaml.placeOf(path);
    const text = typeof value === 'string' ? { text: value } : {};
    if (at !== undefined && path.length > 0) origins.set(placeText(path, STYLE), { file, line: at.line, ...text });
    if (Array.isArray(value)) value.forEach((item: unknown, index) => add(item, [...path, index]));
    else if (typeof value === 'object' && value !== null) for (const [key, item] of Object.entries(value)) add(item, [...path, key]);
  };
  add(yaml.value, []);
}

/** Of places such as `stores.nightly` and `stores.nightly.tags[0]`. */
function isAtOrBelow(place: string, above: string): boolean {
  return place.startsWith(above) && /^(?:$|[.[])/.test(place.slice(above.length));
}
