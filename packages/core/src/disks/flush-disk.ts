import { readFile, statfs } from 'node:fs/promises';
import { GantryError } from '../report/errors.ts';
import { diskCallError } from './disk-errors.ts';
import { deviceNumber } from './disk-identity.ts';
import type { OpenDisk } from './open-disk.ts';

/**
 * Makes durable what was written to a disk, by this process or any other (fsync(2)): a power cut afterwards loses nothing of it. For a
 * device this empties the device's own cache too; a loop device passes that on to its file.
 *
 * @throws GantryError `DISK_IO` where something that was written, at any time since the disk was opened, did not reach it
 */
export async function flushDisk({ file, path, kind }: OpenDisk): Promise<void> {
  try {
    await file.sync();
  } catch (error) {
    const failure = diskCallError(path, 'flushing', error);
    const full = kind === 'block' ? await fullBackingFile(await file.stat({ bigint: true })) : undefined;
    if (full === undefined) throw failure;
    throw new GantryError(failure.code, {
      message: `${failure.message}; its data is in ${full}, on a file system with no space left`,
      hint: 'Make room on that file system.',
      cause: error,
    });
  }
}

/** The file of a loop device, where nothing fits beside it any more: the device itself can only say `EIO`. */
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
