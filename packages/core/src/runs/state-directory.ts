import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { makeDirectoryDurably } from '../system/durable.ts';
import { errnoName } from '../system/errno-name.ts';

/** Where Gantry keeps locks and journals. Created and checked by {@link openStateDirectory}. */
export interface StateDirectory {
  readonly path: string;
  /** One file for each thing that is locked. */
  readonly locks: string;
  /** One journal for each running operation, and for each dead one that left something to clear. */
  readonly runs: string;
}

const OTHERS_MAY_WRITE = 0o022;

/**
 * Path of the state directory: `option`, else `GANTRY_STATE_DIR`, else `/var/lib/gantry` for root and `gantry` in the user's state
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
 * Creates the state directory if it is missing (mode 0700), and refuses one that somebody else could write to: what its files say is
 * acted upon later, and by root if root runs Gantry.
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
    await makeDirectoryDurably(directory, 0o700);
    return await stat(directory);
  } catch (error) {
    throw unusable(`cannot create the state directory ${directory}`, error);
  }
}

function assertOurs(directory: string, stats: Stats): void {
  const us = process.geteuid?.();
  if (stats.uid !== us)
    throw unusable(`the state directory ${directory} belongs to user ${stats.uid}, not to user ${String(us)}, who runs Gantry`);
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0) throw unusable(`the state directory ${directory} is writable for others`);
}

const ELSEWHERE = 'or name another directory with GANTRY_STATE_DIR';
const OWN_HINT = `Make the user who runs Gantry its owner (chown), with mode 0700, ${ELSEWHERE}.`;

/** Hints for system calls that fail in the state directory. */
const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: `Free space on its file system (df -h, and df -i for inodes), ${ELSEWHERE}.`,
  EDQUOT: `A quota on its file system is used up: free space or raise the quota, ${ELSEWHERE}.`,
  EROFS: `Its file system is mounted read-only: find out why (dmesg) and remount it (mount -o remount,rw), ${ELSEWHERE}.`,
  EIO: `Its disk or file system may be damaged: see dmesg. Until it is repaired, name another directory with GANTRY_STATE_DIR.`,
  ENOTDIR: `A file that is not a directory is in the way: move it away, ${ELSEWHERE}.`,
  EEXIST: `A file that is not a directory is in the way: move it away, ${ELSEWHERE}.`,
  ENOENT: 'It may have been removed meanwhile: try again.',
  EMFILE: 'Raise the limit of open files (ulimit -n).',
  ENFILE: 'The machine has too many open files: see sysctl fs.file-max.',
};

/** The error for the state directory or a file in it; `cause` is the error of the system call. */
export function unusable(message: string, cause?: unknown): GantryError {
  return new GantryError('STATE_UNUSABLE', {
    message: cause instanceof Error ? `${message}: ${errorText(cause)}` : message,
    hint: HINTS[errnoName(cause) ?? ''] ?? OWN_HINT,
    cause,
  });
}
