import { lstat, readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { systemErrorCode } from '../system/errno-name.ts';

/** Where Ganeti looks for definitions (`OS_SEARCH_PATH` of its build), in its order. */
const GANETI_DIRECTORIES: readonly string[] = ['/srv/ganeti/os', '/usr/local/lib/ganeti/os', '/usr/lib/ganeti/os', '/usr/share/ganeti/os'];

export interface SearchPathSources {
  /** Directories from the command line; they come first. */
  readonly flags?: readonly string[] | undefined;
  /** Environment variables; `GANTRY_OS_PATH` has directories separated by `:`. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** The directories that are searched for definitions, in order, absolute, each once: flags, then `GANTRY_OS_PATH`, then Ganeti's own. */
export function osSearchPath(sources: SearchPathSources): string[] {
  const fromEnvironment = (sources.env?.['GANTRY_OS_PATH'] ?? '').split(':').filter((directory) => directory !== '');
  const all = [...(sources.flags ?? []), ...fromEnvironment, ...GANETI_DIRECTORIES];
  return [...new Set(all.map((directory) => resolve(directory)))];
}

/** The names in one directory of the search path, sorted: directories, and entries that may be broken ones. */
export interface CandidateListing {
  readonly names: readonly string[];
  /** Why the directory could not be listed, as one clause; undefined on success. */
  readonly problem: string | undefined;
}

/** Lists what may be a definition. Hidden entries and ordinary files, such as a README, are left out. */
export async function listCandidates(directory: string): Promise<CandidateListing> {
  let entries: string[];
  try {
    entries = await readdir(directory);
  } catch (error) {
    const code = systemErrorCode(error);
    return { names: [], problem: code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})` };
  }
  const names: string[] = [];
  for (const name of entries.sort()) {
    if (!name.startsWith('.') && (await isCandidate(join(directory, name)))) names.push(name);
  }
  return { names, problem: undefined };
}

/**
 * Whether the search for a definition ends at this path. It also ends at a dangling link: something was meant to be there, and going on
 * would silently use another definition.
 */
export async function isCandidate(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOENT') return code !== 'ENOTDIR';
    return isLink(path);
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch (error) {
    systemErrorCode(error);
    return false;
  }
}
