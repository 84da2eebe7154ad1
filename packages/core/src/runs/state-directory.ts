import type { Stats } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

import { GantryError } from '../report/errors.ts';

/** Where Gantry keeps locks and what must outlive a killed run. Made and checked by {@link openStateDirectory}. */
export interface StateDirectory {
  readonly path: string;
  /** One file for each thing that is locked at the moment. */
  readonly locks: string;
  /** One journal for each run that lives, and for each that died with something left to clear. */
  readonly runs: string;
}

const OTHERS_MAY_WRITE = 0o022;

/**
 * Which directory it is: `option`, else `GANTRY_STATE_DIR`, else `/var/lib/gantry` for root and `gantry` in the user's state
 * directory (XDG Base Directory Specification 0.8: `XDG_STATE_HOME`, where absolute, else `~/.local/state`) for others.
 */
export function stateDirectoryPath(option?: string, environment: NodeJS.ProcessEnv = process.env): string {
  const given = option ?? environment['GANTRY_STATE_DIR'] ?? '';
  if (given !== '') return resolve(given);
  if (process.geteuid?.() === 0) return '/var/lib/gantry';
  const stateHome = environment['XDG_STATE_HOME'] ?? '';
  return join(isAbsolute(stateHome) ? stateHome : join(homedir(), '.local', 'state'), 'gantry');
}

/**
 * Makes the state directory where it is missing (mode 0700), and refuses one that somebody else could write into: what stands in
 * it is acted upon later, for root as root.
 * @throws GantryError STATE_UNUSABLE
 */
export async function openStateDirectory(option?: string): Promise<StateDirectory> {
  const path = stateDirectoryPath(option);
  const state = { path, locks: join(path, 'locks'), runs: join(path, 'runs') };
  for (const directory of [state.path, state.locks, state.runs]) assertOurs(directory, await makeDirectory(directory));
  return state;
}

async function makeDirectory(directory: string): Promise<Stats> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return await stat(directory);
  } catch (error) {
    throw unusable(`cannot make the state directory ${directory}`, error);
  }
}

function assertOurs(directory: string, stats: Stats): void {
  const us = process.geteuid?.();
  if (stats.uid !== us)
    throw unusable(`the state directory ${directory} belongs to user ${stats.uid}, not to user ${String(us)} who runs this`);
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0) throw unusable(`the state directory ${directory} may be written by others`);
}

/** What went wrong with the state directory or a file in it. */
export function unusable(message: string, cause?: unknown): GantryError {
  return new GantryError('STATE_UNUSABLE', {
    message: cause instanceof Error ? `${message}: ${cause.message}` : message,
    hint: 'Give it to the user who runs Gantry with mode 0700, or name another directory with GANTRY_STATE_DIR.',
    cause,
  });
}
