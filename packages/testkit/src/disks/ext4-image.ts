import { command } from './command.ts';
import { makeSparseFile } from './disk-files.ts';
import { makeSampleTree } from './sample-tree.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

export interface Ext4ImageOptions {
  readonly bytes: number;
  /** The tree that goes in; {@link makeSampleTree}'s where absent. */
  readonly from?: string;
  /** How many ordinary files the sample tree has. */
  readonly files?: number;
}

/**
 * Makes a sparse file with an ext4 file system that holds a tree of files (the root directory's own mode and time are mkfs's). Needs
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
  // Awaited here: the tree must be there until it is read.
  await format(path, scratch.path);
}

async function format(path: string, from: string): Promise<void> {
  // Fixed identifiers: the same call gives very nearly the same bytes.
  const uuid = '6a1f7a52-0000-4000-8000-000000000001';
  await command('mkfs.ext4', '-q', '-F', '-U', uuid, '-E', `hash_seed=${uuid},lazy_itable_init=1`, '-d', from, path);
}
