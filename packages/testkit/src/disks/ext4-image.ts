import { command } from './command.ts';
import { makeSparseFile } from './disk-files.ts';
import { makeSampleTree } from './sample-tree.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

export interface Ext4ImageOptions {
  readonly bytes: number;
  /** The tree to copy in; by default that of {@link makeSampleTree}. */
  readonly from?: string;
  /** The number of ordinary files in the sample tree. */
  readonly files?: number;
}

/**
 * Makes a sparse file with an ext4 file system that contains a tree of files (the root directory's own mode and time are mkfs's). Needs
 * root and e2fsprogs; mounts nothing.
 */
export async function makeExt4Image(path: string, options: Ext4ImageOptions): Promise<void> {
  await makeSparseFile(path, options.bytes);
  if (options.from !== undefined) {
    await format(path, options.from);
    return;
  }
  await using scratch = await makeTemporaryDirectory();
  await makeSampleTree(scratch.path, options.files);
  // Awaited here: the tree must exist until it has been read.
  await format(path, scratch.path);
}

async function format(path: string, from: string): Promise<void> {
  // Fixed identifiers, so that the same call makes nearly the same bytes.
  const uuid = '6a1f7a52-0000-4000-8000-000000000001';
  await command('mkfs.ext4', '-q', '-F', '-U', uuid, '-E', `hash_seed=${uuid},lazy_itable_init=1`, '-d', from, path);
}
