import { resolve } from 'node:path';

import { GantryError } from '../report/errors.ts';
import type { OsDefinition } from './definition.ts';
import { BUILTIN_DEFINITIONS } from './definition.ts';
import { readDefinition } from './read-definition.ts';
import { listCandidates } from './search-path.ts';

/** The diagnosis of one definition. */
export type Diagnosis =
  | {
      readonly name: string;
      /** Absent for a built-in definition. */
      readonly directory?: string;
      readonly valid: true;
      readonly definition: OsDefinition;
      /** The directory of a definition of the same name that comes first on the search path: this one is never used. */
      readonly shadowedBy?: string;
    }
  | {
      readonly name: string;
      readonly directory: string;
      readonly valid: false;
      /** Every reason, each one clause. */
      readonly reasons: readonly string[];
      readonly shadowedBy?: string;
    };

/**
 * Reads every definition on the search path, in its order, the built-in ones last. The first of a name wins, even if it is broken.
 * Directories that do not exist count as empty.
 * @throws GantryError `OS_NOT_FOUND` where a directory of the path exists but cannot be listed
 */
export async function diagnoseDefinitions(searchPath: readonly string[], signal?: AbortSignal): Promise<readonly Diagnosis[]> {
  const first = new Map<string, string>();
  const found: Diagnosis[] = [];
  for (const parent of searchPath) {
    for (const name of await candidates(parent)) {
      signal?.throwIfAborted();
      const directory = resolve(parent, name);
      found.push({ name, directory, ...(await readDefinition(name, directory)), ...shadow(first.get(name)) });
      if (!first.has(name)) first.set(name, directory);
    }
  }
  for (const definition of BUILTIN_DEFINITIONS.values()) {
    found.push({ name: definition.name, valid: true, definition, ...shadow(first.get(definition.name)) });
  }
  signal?.throwIfAborted();
  return found;
}

async function candidates(directory: string): Promise<readonly string[]> {
  const { names, problem } = await listCandidates(directory);
  if (problem === undefined || problem === 'does not exist') return names;
  throw new GantryError('OS_NOT_FOUND', {
    message: `cannot list OS definitions: ${directory} ${problem}`,
    hint: 'Make the directory readable, or remove it from the search path.',
  });
}

function shadow(directory: string | undefined): { readonly shadowedBy?: string } {
  return directory === undefined ? {} : { shadowedBy: directory };
}
