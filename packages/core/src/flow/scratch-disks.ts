import { access, constants, lstat, mkdir, open, rmdir, stat, statfs, unlink } from 'node:fs/promises';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { GantryError } from '../report/errors.ts';
import type { Run } from '../runs/journal.ts';
import type { Undo } from '../runs/undo.ts';
import { orGone } from '../system/or-gone.ts';
import { errorText } from '../report/error-text.ts';

/*
 * Disks that exist for one rehearsal: sparse files in a directory of their own, which the journal knows before it exists.
 */

const DIRECTORY_PREFIX = 'gantry-rehearsal-';
const DISK_NAME = /^disk\d{1,3}\.img$/;
const KIND = 'scratch-disks';

export interface ScratchDisks extends AsyncDisposable {
  /** The files, in the order of the disks. */
  readonly paths: readonly string[];
}

export interface ScratchOptions {
  /** In which the disks' own directory is made. */
  readonly directory: string;
  /** Of each disk, bytes. */
  readonly sizes: readonly number[];
  /** What will be written to all of them, as far as that can be known, bytes. */
  readonly neededBytes: number;
  readonly run: Run;
}

/**
 * To be called before anything is read: a directory that cannot be used must not be found out when a store was looked through.
 *
 * @throws GantryError `PLATFORM` where scratch disks cannot be made in it
 */
export async function assertScratchDirectory(directory: string): Promise<void> {
  try {
    if (!(await stat(directory)).isDirectory()) throw new Error('it is not a directory');
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(directory, error);
  }
}

/**
 * Makes sparse files as disks; disposing removes them, and so does the next run if this one is killed.
 *
 * @throws GantryError `PLATFORM` where the directory cannot be used or has too little room, `STATE_UNUSABLE`
 */
export async function makeScratchDisks({ directory, sizes, neededBytes, run }: ScratchOptions): Promise<ScratchDisks> {
  await assertRoom(resolve(directory), neededBytes);
  const own = join(resolve(directory), `${DIRECTORY_PREFIX}${run.id}`);
  const paths = sizes.map((_, index) => join(own, `disk${index}.img`));
  const id = await run.remember({ kind: KIND, directory: own, disks: paths.map((path) => basename(path)) });
  const remove = async (): Promise<void> => {
    await removeScratch(own, paths);
    await run.forget(id);
  };
  try {
    await mkdir(own, { mode: 0o700 });
    for (const [index, path] of paths.entries()) {
      await using file = await open(path, 'wx', 0o600);
      await file.truncate(sizes[index]);
    }
  } catch (error) {
    await remove();
    throw unusable(directory, error);
  }
  return { paths, [Symbol.asyncDispose]: remove };
}

async function assertRoom(directory: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory).catch((error: unknown) => {
    throw unusable(directory, error);
  });
  const free = bavail * bsize;
  if (free >= neededBytes) return;
  throw new GantryError('PLATFORM', {
    message: `there is too little room in ${directory}: a rehearsal may need ${neededBytes} bytes, and ${free} are free`,
    hint: 'Free space there, or name a directory on a larger file system.',
  });
}

function unusable(directory: string, cause: unknown): GantryError {
  return new GantryError('PLATFORM', {
    message: `cannot make scratch disks in ${directory}: ${errorText(cause)}`,
    hint: 'Name a directory that exists, in which you may write.',
    cause,
  });
}

/** Only what was made there: nothing else goes, should it be in the directory. @returns whether there was anything */
async function removeScratch(directory: string, paths: readonly string[]): Promise<boolean> {
  const stats = await orGone(() => lstat(directory));
  if (stats === undefined) return false;
  if (!stats.isDirectory()) throw new Error(`${directory} is not a directory any more`);
  for (const path of paths) await orGone(() => unlink(path));
  await orGone(() => rmdir(directory));
  return true;
}

const recordSchema = z.object({
  kind: z.literal(KIND),
  directory: z.string().refine((path) => isAbsolute(path) && basename(path).startsWith(DIRECTORY_PREFIX)),
  disks: z.array(z.string().regex(DISK_NAME)),
});

/** Removes the scratch disks of a rehearsal that was killed. */
export const scratchUndo: Undo = {
  kind: KIND,
  describe: (record) => `scratch disks of a rehearsal in ${recordSchema.parse(record).directory}`,
  isThere: async (record) => (await orGone(() => lstat(recordSchema.parse(record).directory))) !== undefined,
  undo: async (record) => {
    const { directory, disks } = recordSchema.parse(record);
    return await removeScratch(
      directory,
      disks.map((name) => join(directory, name)),
    );
  },
};
