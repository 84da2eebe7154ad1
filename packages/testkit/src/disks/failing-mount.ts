import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';

import { command, commandAtExit } from './command.ts';
import { makeSparseFile } from './disk-files.ts';
import type { MountedFileSystem } from './mounts.ts';
import { mountImage } from './mounts.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import { undoAtExit } from './undo.ts';

/** A file system that can be made to fail while it is in use. */
export interface FailingMount extends MountedFileSystem {
  /** Makes the kernel detect an error in it: it then turns read-only, as with `errors=remount-ro`, while it is in use. */
  turnReadOnly(): Promise<void>;
  /** Covers its mount point with an empty directory while it is in use. */
  takeAway(): Promise<void>;
}

/** Makes and mounts a new ext4 in a sparse file. Needs root and e2fsprogs. */
export async function mountFailingExt4(bytes: number): Promise<FailingMount> {
  await using scratch = new AsyncDisposableStack();
  const directory = scratch.use(await makeTemporaryDirectory('gantry-fs-'));
  const image = directory.file('image');
  await makeSparseFile(image, bytes);
  await command('mkfs.ext4', '-q', '-F', '-e', 'remount-ro', image);
  const elsewhere = scratch.use(await makeTemporaryDirectory('gantry-away-'));
  const mounted = scratch.use(await mountImage(image));
  const { path } = mounted;
  const owned = scratch.move();
  let forget: (() => void) | undefined;
  return {
    ...mounted,
    turnReadOnly: async () => {
      const device = basename((await command('findmnt', '-no', 'SOURCE', path)).trim());
      await writeFile(`/sys/fs/ext4/${device}/trigger_fs_error`, 'a test');
    },
    takeAway: async () => {
      await command('mount', '--bind', elsewhere.path, path);
      forget = undoAtExit(() => commandAtExit('umount', '--lazy', path));
    },
    [Symbol.asyncDispose]: async () => {
      if (forget !== undefined) await command('umount', path);
      forget?.();
      await owned.disposeAsync();
    },
  };
}
