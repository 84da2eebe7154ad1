import { chmod, lstat, mkdir, readdir, rmdir, statfs, unlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

import { errnoName } from '../system/errno-name.ts';
import type { Fill } from './fill-watch.ts';

/*
 * Where providers keep what exists only as long as a snapshot: copies of what a guest overwrites, and sockets.
 */

const MIB = 1024 * 1024;

/** Not in a directory that others may write to: root removes files in it. XDG Base Directory Specification 0.8 for users other than root. */
export function defaultScratch(environment: NodeJS.ProcessEnv = process.env, uid: number | undefined = process.geteuid?.()): string {
  if (uid === 0) return '/var/cache/gantry/scratch';
  const cacheHome = environment['XDG_CACHE_HOME'] ?? '';
  return join(isAbsolute(cacheHome) ? cacheHome : join(homedir(), '.cache'), 'gantry', 'scratch');
}

/** Makes Gantry's own scratch directory: the user of a QEMU may pass through it to a directory of its own. */
export async function makeDefaultScratch(directory: string): Promise<void> {
  await mkdir(dirname(dirname(directory)), { recursive: true });
  for (const path of [dirname(directory), directory]) {
    try {
      await mkdir(path, { mode: 0o711 });
      await chmod(path, 0o711);
    } catch (error) {
      if (errnoName(error) !== 'EEXIST') throw error;
    }
  }
}

/** Idempotent. Links are removed, not followed. */
export async function removeScratch(directory: string): Promise<void> {
  try {
    if (!(await lstat(directory)).isDirectory()) throw new Error(`${directory} is not a directory`);
    for (const name of await readdir(directory)) await unlink(join(directory, name));
    await rmdir(directory);
  } catch (error) {
    if (errnoName(error) !== 'ENOENT') throw error;
  }
}

/** How many times what must stay free must be free at first: else the first writes of the guest would end the export. */
export const MIN_RESERVES = 2;

/** Bytes that ordinary users may still write on the file system that `directory` is on, or would be on if it was made. */
export async function freeBytes(directory: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch (error) {
    if (errnoName(error) !== 'ENOENT' || directory === '/') throw error;
    return await freeBytes(dirname(directory));
  }
}

export function describeLack(scratch: string, freeBytes: number, reserveBytes: number): string {
  const free = `only ${Math.floor(freeBytes / MIB)} MiB are free in the scratch directory ${scratch}`;
  return `${free}, ${Math.ceil((MIN_RESERVES * reserveBytes) / MIB)} are needed at least`;
}

/** How much of the scratch space is used. @param limits bytes: what must stay free, and what was free at first */
export async function lookAtScratch(limits: {
  readonly directory: string;
  readonly reserve: number;
  readonly freeAtFirst: number;
}): Promise<Fill> {
  const { directory, reserve, freeAtFirst } = limits;
  const free = await freeBytes(directory);
  if (free < reserve)
    return { lost: `the guest overwrote so much that less than ${Math.ceil(reserve / MIB)} MiB are free in ${directory}`, isFull: true };
  return { share: 1 - (free - reserve) / (freeAtFirst - reserve), of: `the scratch space in ${directory}` };
}
