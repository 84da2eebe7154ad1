import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { matchesName } from '../instances/instance-filter.ts';
import { GantryError } from '../report/errors.ts';

/** What a receiver may be asked for, where not everything. All names are the receiver's own. */
export interface ReceiveLimits {
  /** Names of instances, `*` for any number of characters; all where absent. */
  readonly instances?: readonly string[] | undefined;
  /** OS definitions, without variants; all where absent. */
  readonly osDefinitions?: readonly string[] | undefined;
  /** Instance files lie in this directory or below it; relative names count from it. Anywhere where absent. */
  readonly instanceDirectory?: string | undefined;
}

/** @throws GantryError `PEER_REFUSED` */
export function assertInstanceAllowed(name: string, { instances }: ReceiveLimits): void {
  if (instances === undefined || instances.some((pattern) => matchesName(pattern, name))) return;
  throw refused(`the instance ${name}`, '--allow-instance');
}

/** @throws GantryError `PEER_REFUSED` */
export function assertOsAllowed(name: string, { osDefinitions }: ReceiveLimits): void {
  if (osDefinitions === undefined || osDefinitions.includes(name)) return;
  throw refused(`the OS definition ${name}`, '--allow-os');
}

/**
 * The path of the instance file to read; where it must lie in a directory, with links resolved.
 *
 * @throws GantryError `PEER_REFUSED`; `INSTANCE_FILE_UNREADABLE` where there is none
 */
export async function allowedInstanceFile(file: string, { instanceDirectory }: ReceiveLimits, cwd: string): Promise<string> {
  if (instanceDirectory === undefined) return resolve(cwd, file);
  const directory = await real(resolve(cwd, instanceDirectory));
  const asked = resolve(directory, file);
  // Said before anything is looked for: what lies outside is nobody's business.
  if (!isWithin(directory, asked)) throw outside(file);
  const found = await real(asked);
  if (!isWithin(directory, found)) throw outside(file);
  return found;
}

function outside(file: string): GantryError {
  return refused(`the instance file ${file}`, '--instance-directory');
}

function isWithin(directory: string, path: string): boolean {
  return path.startsWith(directory.endsWith(sep) ? directory : `${directory}${sep}`);
}

async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    throw new GantryError('INSTANCE_FILE_UNREADABLE', {
      message: `cannot find ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Name an instance file of the receiving machine.',
      cause,
    });
  }
}

function refused(what: string, option: string): GantryError {
  return new GantryError('PEER_REFUSED', {
    message: `${what} may not be received here`,
    hint: `Whoever runs this machine has limited gantry receive with ${option}.`,
  });
}
