import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { matchesName } from '../instances/instance-filter.ts';
import { GantryError } from '../report/errors.ts';
import { errorText } from '../report/error-text.ts';

/** Limits on what a receiver accepts. All names are those on the receiver. */
export interface ReceiveLimits {
  /** Names of instances, with `*` for any number of characters; all when absent. */
  readonly instances?: readonly string[] | undefined;
  /** OS definitions, without variants; all when absent. */
  readonly osDefinitions?: readonly string[] | undefined;
  /** Instance files must be in this directory or below it; relative names are relative to it. Anywhere when absent. */
  readonly instanceDirectory?: string | undefined;
  /** Sources in which an instance may be defined and started, with `*` as above. When absent: any without other limits, otherwise none. */
  readonly defineSources?: readonly string[] | undefined;
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

/** Defining is more than writing disks: where anything is limited, it must be allowed by itself. @throws GantryError `PEER_REFUSED` */
export function assertDefineAllowed(source: string, limits: ReceiveLimits): void {
  const { defineSources } = limits;
  const isLimited = Object.values(limits).some((limit) => limit !== undefined);
  if (!isLimited || defineSources?.some((pattern) => matchesName(pattern, source)) === true) return;
  throw new GantryError('PEER_REFUSED', {
    message: `defining instances in ${source} is not allowed here`,
    hint: 'The administrator of this machine can allow it with gantry receive --allow-define.',
  });
}

/**
 * The path of the instance file to read; with links resolved if it must be in a directory.
 *
 * @throws GantryError `PEER_REFUSED`; `INSTANCE_FILE_UNREADABLE` if it does not exist
 */
export async function allowedInstanceFile(file: string, { instanceDirectory }: ReceiveLimits, cwd: string): Promise<string> {
  if (instanceDirectory === undefined) return resolve(cwd, file);
  const directory = await real(resolve(cwd, instanceDirectory));
  const asked = resolve(directory, file);
  // Refused before it is looked up, so that the answer does not reveal which files exist outside.
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
      message: `cannot find ${path}: ${errorText(cause)}`,
      hint: 'Name an instance file on the receiving machine.',
      cause,
    });
  }
}

function refused(what: string, option: string): GantryError {
  return new GantryError('PEER_REFUSED', {
    message: `receiving ${what} is not allowed here`,
    hint: `The administrator of this machine has limited gantry receive with ${option}.`,
  });
}
