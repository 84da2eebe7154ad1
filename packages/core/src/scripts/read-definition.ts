import type { ApiVersion, OsDefinition, OsOperation, OsParameter, ScriptName } from './definition.ts';
import { API_VERSIONS } from './definition.ts';
import { directoryProblem, findScript, readLines } from './definition-files.ts';
import { isDefinitionName, isVariant } from './os-name.ts';
import { isParameterName } from '../instances/parameter-variables.ts';

/** A definition, or every reason why the directory is not a valid one, each one clause. */
export type DefinitionReading =
  | { readonly valid: true; readonly definition: OsDefinition }
  | { readonly valid: false; readonly reasons: readonly string[] };

/**
 * Reads the definition in a directory. Reports every problem at once.
 * @param directory absolute
 */
export async function readDefinition(name: string, directory: string): Promise<DefinitionReading> {
  const problem = await directoryProblem(directory);
  if (problem !== undefined) return { valid: false, reasons: [problem] };
  const reasons: string[] = [];
  if (!isDefinitionName(name)) reasons.push(`${JSON.stringify(name)} is not a valid name of a definition`);
  const { apiVersions, apiVersion } = await readApiVersions(directory, reasons);
  const scripts = await findScripts(directory, apiVersion, reasons);
  const variants = await readVariants(directory, apiVersion, reasons);
  const parameters = await readParameters(directory, apiVersion, reasons);
  const hypervisors = await readHypervisors(directory, reasons);
  if (apiVersion === undefined || reasons.length > 0) return { valid: false, reasons: firstOf(reasons) };
  return {
    valid: true,
    definition: {
      name,
      directory,
      builtin: false,
      apiVersions,
      apiVersion,
      variants,
      parameters,
      ...(hypervisors === undefined ? {} : { hypervisors }),
      scripts,
      operations: new Set(OPERATIONS.filter((operation) => scripts[operation] !== undefined)),
    },
  };
}

/** At most this many are listed: a file of 1 MiB may have half a million problems. */
const MAX_REASONS = 20;

function firstOf(reasons: readonly string[]): readonly string[] {
  const more = reasons.length - MAX_REASONS;
  return more > 0 ? [...reasons.slice(0, MAX_REASONS), `and ${more} more reasons`] : reasons;
}

const OPERATIONS: readonly OsOperation[] = ['create', 'export', 'import', 'rename'];

interface StatedVersions {
  readonly apiVersions: readonly number[];
  /** Absent if none of them is supported. */
  readonly apiVersion: ApiVersion | undefined;
}

async function readApiVersions(directory: string, reasons: string[]): Promise<StatedVersions> {
  const file = 'ganeti_api_version';
  const found = await readLines(directory, file);
  if (found.kind !== 'found') {
    reasons.push(found.kind === 'absent' ? `${file} is missing` : found.reason);
    return { apiVersions: [], apiVersion: undefined };
  }
  const apiVersions: number[] = [];
  for (const [index, line] of found.value.entries()) {
    if (line === '') continue;
    if (/^\d{1,9}$/.test(line)) apiVersions.push(Number(line));
    else reasons.push(`${file}, line ${String(index + 1)}: ${quote(line)} is not an integer`);
  }
  const apiVersion = API_VERSIONS.find((version) => apiVersions.includes(version));
  if (apiVersion === undefined) {
    const stated = apiVersions.length === 0 ? 'no API version' : `API version ${apiVersions.join(', ')}`;
    reasons.push(`${file} states ${stated}, but only ${API_VERSIONS.join(', ')} are supported`);
  }
  return { apiVersions, apiVersion };
}

async function findScripts(directory: string, apiVersion: ApiVersion | undefined, reasons: string[]): Promise<OsDefinition['scripts']> {
  const scripts: Partial<Record<ScriptName, string>> = {};
  const there = new Set<ScriptName>();
  // Before API 20, a file named verify has no meaning.
  const names: readonly ScriptName[] = apiVersion === 20 ? [...OPERATIONS, 'verify'] : OPERATIONS;
  for (const name of names) {
    const found = await findScript(directory, name);
    if (found.kind !== 'absent') there.add(name);
    if (found.kind === 'found') scripts[name] = found.value;
    if (found.kind === 'bad') reasons.push(found.reason);
  }
  if (!there.has('create')) reasons.push('create is missing');
  if (there.has('export') && !there.has('import')) reasons.push('export exists but import is missing: both are needed, or neither');
  if (there.has('import') && !there.has('export')) reasons.push('import exists but export is missing: both are needed, or neither');
  if (apiVersion === 20 && !there.has('verify')) reasons.push('verify is missing, which API 20 requires');
  return scripts;
}

async function readVariants(directory: string, apiVersion: ApiVersion | undefined, reasons: string[]): Promise<readonly string[]> {
  if (apiVersion === undefined || apiVersion < 15) return [];
  const variants = (await readList(directory, 'variants.list', reasons)) ?? [];
  for (const variant of variants) if (!isVariant(variant)) reasons.push(`variants.list: ${quote(variant)} is not a valid variant`);
  return [...new Set(variants)];
}

async function readParameters(directory: string, apiVersion: ApiVersion | undefined, reasons: string[]): Promise<readonly OsParameter[]> {
  if (apiVersion !== 20) return [];
  const missing = 'parameters.list is missing, which API 20 requires';
  const parameters = new Map<string, OsParameter>();
  for (const line of (await readList(directory, 'parameters.list', reasons, missing)) ?? []) {
    const [name = ''] = line.split(/\s/, 1);
    if (!isParameterName(name)) reasons.push(`parameters.list: ${quote(name)} is not a valid parameter name`);
    // A second line with the same name is ignored.
    else if (!parameters.has(name)) parameters.set(name, { name, description: line.slice(name.length).trim() });
  }
  return [...parameters.values()];
}

async function readHypervisors(directory: string, reasons: string[]): Promise<readonly string[] | undefined> {
  const hypervisors = await readList(directory, 'hypervisors', reasons);
  if (hypervisors?.length === 0) reasons.push('hypervisors exists but is empty, so that no instance could use the definition');
  return hypervisors;
}

/**
 * The lines of a list without blank lines and comments. Undefined if the file is absent (then `missing` is added to the reasons, where
 * given) or unreadable (then why is added).
 */
async function readList(directory: string, file: string, reasons: string[], missing?: string): Promise<readonly string[] | undefined> {
  const found = await readLines(directory, file);
  if (found.kind === 'found') return found.value.filter((line) => line !== '' && !line.startsWith('#'));
  if (found.kind === 'bad') reasons.push(found.reason);
  else if (missing !== undefined) reasons.push(missing);
  return undefined;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
