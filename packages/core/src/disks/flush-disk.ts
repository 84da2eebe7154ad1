import { readFile, statfs } from 'node:fs/promises';
import { GantryError } from '../report/errors.ts';
import { diskCallError } from './disk-errors.ts';
import { deviceNumber } from './disk-identity.ts';
import type { OpenDisk } from './open-disk.ts';

/**
 * Makes everything durable that this process or others wrote to a disk (fsync(2)): a power cut after that does not lose any of it. This
 * also flushes the cache of a device; a loop device flushes its file.
 *
 * @throws GantryError `DISK_IO` if anything that was written since the disk was opened did not reach it
 */
export async function flushDisk({ file, path, kind }: OpenDisk): Promise<void> {
  try {
    await file.sync();
  } catch (error) {
    const failure = diskCallError(path, 'flush', error);
    const full = kind === 'block' ? await fullBackingFile(await file.stat({ bigint: true })) : undefined;
    if (full === undefined) throw failure;
    throw new GantryError(failure.code, {
      message: `${failure.message}; its data is in ${full}, on a file system with no space left`,
      hint: 'Make room on that file system.',
      cause: error,
    });
  }
}

/** The file of a loop device if its file system is full: the device itself can only report `EIO`. */
async function fullBackingFile({ rdev }: { readonly rdev: bigint }): Promise<string | undefined> {
  try {
    const backing = (await readFile(`/sys/dev/block/${deviceNumber(rdev)}/loop/backing_file`, 'utf8')).trimEnd();
    const { bavail } = await statfs(backing);
    return bavail === 0 ? backing : undefined;
  } catch {
    // Not a loop device, or its file was removed.
    return undefined;
  }
}
