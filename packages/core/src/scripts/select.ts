import { join, resolve } from 'node:path';

import { GantryError } from '../report/errors.ts';
import type { OsDefinition, OsOperation } from './definition.ts';
import { BUILTIN_DEFINITIONS } from './definition.ts';
import { didYouMean, nearestNames } from '../report/nearest.ts';
import { parseOsName } from './os-name.ts';
import { readDefinition } from './read-definition.ts';
import { isCandidate, listCandidates } from './search-path.ts';

/** A definition and the variant that an instance uses. */
export interface SelectedOs {
  readonly definition: OsDefinition;
  /** Empty for a definition without variants. */
  readonly variant: string;
  /** `os+variant`, or `os` for a definition without variants; scripts get it as `INSTANCE_OS`. */
  readonly fullName: string;
}

export interface SelectOptions {
  readonly searchPath: readonly string[];
  /** Accepts a variant that the definition does not list. */
  readonly forceVariant?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds the definition that an instance's `os` names: the first of that name on the search path, then the built-in ones.
 * @throws GantryError `OS_NAME_INVALID`, `OS_NOT_FOUND`, `OS_INVALID` (with every reason), `OS_VARIANT`
 */
export async function selectOs(osName: string, options: SelectOptions): Promise<SelectedOs> {
  const { name, variant } = parseOsName(osName);
  const definition = await findDefinition(name, options);
  const chosen = chooseVariant(definition, variant, options.forceVariant === true);
  return { definition, variant: chosen, fullName: chosen === '' ? name : `${name}+${chosen}` };
}

/** @throws GantryError `OS_OPERATION_UNSUPPORTED` if the definition lacks the script of that operation */
export function assertOperation(os: SelectedOs, operation: OsOperation): void {
  const { name, directory, operations } = os.definition;
  if (operations.has(operation)) return;
  throw new GantryError('OS_OPERATION_UNSUPPORTED', {
    message: `OS definition ${name} cannot ${operation} instances: it has no ${operation} script`,
    hint:
      directory === undefined
        ? `The built-in definition ${name} has no scripts; use a definition that has them.`
        : `Add an executable ${join(directory, operation)}, or use another definition.`,
  });
}

/** @throws GantryError `OS_HYPERVISOR` if the definition lists hypervisors, and not this one */
export function assertHypervisor(os: SelectedOs, hypervisor: string): void {
  const { name, hypervisors } = os.definition;
  if (hypervisors === undefined || hypervisors.includes(hypervisor)) return;
  throw new GantryError('OS_HYPERVISOR', {
    message: `OS definition ${name} does not support the hypervisor ${hypervisor}`,
    hint: `It supports ${hypervisors.join(', ')}.`,
  });
}

async function findDefinition(name: string, options: SelectOptions): Promise<OsDefinition> {
  for (const parent of options.searchPath) {
    options.signal?.throwIfAborted();
    const directory = resolve(parent, name);
    if (!(await isCandidate(directory))) continue;
    const reading = await readDefinition(name, directory);
    options.signal?.throwIfAborted();
    if (reading.valid) return reading.definition;
    throw new GantryError('OS_INVALID', {
      message: `OS definition ${name} in ${directory} is broken`,
      details: reading.reasons,
      hint: 'Repair the definition. It is the first of its name on the search path, and hides any other.',
    });
  }
  return BUILTIN_DEFINITIONS.get(name) ?? (await notFound(name, options));
}

async function notFound(name: string, options: SelectOptions): Promise<never> {
  const known = [...BUILTIN_DEFINITIONS.keys()];
  const searched: string[] = [];
  for (const directory of options.searchPath) {
    options.signal?.throwIfAborted();
    const { names, problem } = await listCandidates(directory);
    known.push(...names);
    searched.push(problem === undefined ? directory : `${directory} (${problem})`);
  }
  const near = nearestNames(name, known);
  throw new GantryError('OS_NOT_FOUND', {
    message: `OS definition ${name} not found`,
    details: searched.length === 0 ? ['no directory was searched'] : searched.map((directory) => `searched: ${directory}`),
    hint: `${didYouMean(near)}Put its directory on the search path (--os-path or GANTRY_OS_PATH), or use the built-in raw.`,
  });
}

function chooseVariant(definition: OsDefinition, variant: string | undefined, force: boolean): string {
  const { name, variants } = definition;
  const [first] = variants;
  if (first === undefined) {
    if (variant === undefined) return '';
    throw new GantryError('OS_VARIANT', {
      message: `OS definition ${name} has no variants, but ${JSON.stringify(variant)} was asked for`,
      hint: `Use ${name} alone.`,
    });
  }
  if (variant === undefined) return first;
  if (force || variants.includes(variant)) return variant;
  const near = nearestNames(variant, variants);
  throw new GantryError('OS_VARIANT', {
    message: `OS definition ${name} has no variant ${JSON.stringify(variant)}`,
    details: [`its variants: ${variants.join(', ')}`],
    hint: `${didYouMean(near)}To use a variant that is not listed, add --force-variant.`,
  });
}
