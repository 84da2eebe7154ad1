import { rmdirSync } from 'node:fs';
import { mkdtemp, rmdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { command, commandAtExit } from './command.ts';
import { makeSparseFile } from './disk-files.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import { undoAtExit } from './undo.ts';

const MiB = 1024 * 1024;
/** mkfs.xfs refuses less than 300 MB. */
const MIN_XFS_BYTES = 320 * MiB;
const MIN_BTRFS_BYTES = 128 * MiB;
const BUSY_TRIES = 600;
const BUSY_WAIT_MS = 100;

export interface MountedFileSystem extends AsyncDisposable {
  /** The mount point, a new directory. */
  readonly path: string;
  /** A path inside; nothing is created. */
  file(...names: readonly string[]): string;
  /** Remounts it in place, read-only or writable. */
  remount(access: 'ro' | 'rw'): Promise<void>;
}

export interface MountOptions {
  readonly readOnly?: boolean;
}

/**
 * Makes and mounts a new xfs with reflinks in a sparse file. Needs root and xfsprogs.
 * @param bytes at least 320 MiB (the minimum is used for smaller values)
 */
export async function mountNewXfs(bytes: number = MIN_XFS_BYTES): Promise<MountedFileSystem> {
  return mountNew(Math.max(bytes, MIN_XFS_BYTES), ['mkfs.xfs', '-q', '-m', 'reflink=1']);
}

/**
 * Makes and mounts a new btrfs in a sparse file. Needs root and btrfs-progs.
 * @param bytes at least 128 MiB (the minimum is used for smaller values)
 */
export async function mountNewBtrfs(bytes: number = MIN_BTRFS_BYTES): Promise<MountedFileSystem> {
  return mountNew(Math.max(bytes, MIN_BTRFS_BYTES), ['mkfs.btrfs', '-q']);
}

/** Mounts a new tmpfs with exactly `bytes` bytes of space. Needs root. */
export async function mountNewTmpfs(bytes: number): Promise<MountedFileSystem> {
  return mountAt(['-t', 'tmpfs', '-o', `size=${String(bytes)},mode=0700`, 'tmpfs']);
}

/** Mounts the file system in a file (through a new loop device) or on a block device. Needs root. */
export async function mountImage(image: string, options: MountOptions = {}): Promise<MountedFileSystem> {
  const loop = (await stat(image)).isBlockDevice() ? [] : ['loop'];
  return mountAt(['-o', [...loop, options.readOnly === true ? 'ro' : 'rw'].join(','), image]);
}

/** Mounts a directory a second time, read-only: writing there fails with `EROFS`, even for root. Needs root. */
export async function mountReadOnly(directory: string): Promise<MountedFileSystem> {
  const mounted = await mountAt(['--bind', directory]);
  try {
    await command('mount', '-o', 'remount,bind,ro', mounted.path);
    return mounted;
  } catch (error) {
    await mounted[Symbol.asyncDispose]();
    throw error;
  }
}

async function mountNew(bytes: number, mkfs: readonly [string, ...string[]]): Promise<MountedFileSystem> {
  await using scratch = new AsyncDisposableStack();
  const directory = scratch.use(await makeTemporaryDirectory('gantry-fs-'));
  const image = directory.file('image');
  await makeSparseFile(image, bytes);
  const [program, ...options] = mkfs;
  await command(program, ...options, image);
  const mounted = scratch.use(await mountImage(image));
  const owned = scratch.move();
  return { ...mounted, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function mountAt(mountArguments: readonly string[]): Promise<MountedFileSystem> {
  const path = await mkdtemp(join(tmpdir(), 'gantry-mnt-'));
  try {
    await command('mount', ...mountArguments, path);
  } catch (error) {
    await rmdir(path);
    throw error;
  }
  const forget = undoAtExit(() => {
    commandAtExit('umount', '--lazy', path);
    try {
      rmdirSync(path);
    } catch {
      // It was not unmounted: the directory and its contents stay.
    }
  });
  let mounted = true;
  return {
    path,
    file: (...names) => join(path, ...names),
    async remount(access) {
      await command('mount', '-o', `remount,${access}`, path);
    },
    async [Symbol.asyncDispose]() {
      if (!mounted) return;
      mounted = false;
      await unmount(path);
      await rmdir(path);
      forget();
    },
  };
}

/** Waits for processes that are ending; after that, unmounts lazily and throws. */
async function unmount(path: string): Promise<void> {
  for (let left = BUSY_TRIES; ; left -= 1) {
    try {
      await command('umount', path);
      return;
    } catch (error) {
      if (left > 0) {
        await wait(BUSY_WAIT_MS);
        continue;
      }
      await command('umount', '--lazy', path);
      throw new Error(`${path} was still in use at the end of the test`, { cause: error });
    }
  }
}
