import { chmod, chown, lstat, mkdir, open, readdir, rmdir, statfs, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { errnoName } from '../../system/errno-name.ts';
import type { Fill } from '../fill-watch.ts';
import { procOwner } from './proc-owner.ts';

const MIB = 1024 * 1024;

export interface ScratchFile {
  readonly path: string;
  /** Bytes, all of them a hole at first. */
  readonly size: number;
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

/**
 * Makes the directory, which must not be there yet, and sparse files in it, for the user of the QEMU alone.
 * @param pid of the QEMU; where it is not known, they stay ours
 */
export async function makeScratch(directory: string, files: readonly ScratchFile[], pid: number | undefined): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  const owner = pid === undefined ? undefined : await procOwner(pid);
  for (const { path, size } of files) {
    await using file = await open(path, 'wx', 0o600);
    await file.truncate(size);
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
  }
  if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
  await chmod(directory, 0o700);
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
