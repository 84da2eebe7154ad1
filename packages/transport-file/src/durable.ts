import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '@gantry/transport';
import { systemErrorCode } from './system-error.ts';

/** How often a directory may be removed by somebody else, between being made and being used, before that is an error. */
const TRIES = 100;

/** Makes the names in a directory durable (fsync(2): syncing a file does not sync its name). */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

/** Makes the root of a store, mode 0700, in a directory that is there. */
export async function makeRoot(root: string): Promise<void> {
  if (await makeOne(root)) await syncDirectory(join(root, '..'));
}

/** Makes a directory beneath `root` with all missing ones on the way to it, mode 0700, and their names durable. */
export async function makeDirectory(root: string, relative: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await makeEach(root, relative);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      if (tries === TRIES) throw takesNone(root, relative, error);
    }
  }
}

async function makeEach(root: string, relative: string): Promise<void> {
  let parent = root;
  for (const part of relative.split('/')) {
    const path = join(parent, part);
    if (await makeOne(path)) await syncDirectory(parent);
    parent = path;
  }
}

/** Whether it was made; false where it was there already. */
async function makeOne(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Some virtual file systems, such as proc, answer so to every mkdir(2); so does a directory that was removed while in use. */
function takesNone(root: string, relative: string, cause: unknown): StoreError {
  return new StoreError('denied', {
    message: `the directory ${relative} cannot be made in ${root}: the file system says that ${root} is not there, or takes no directories`,
    hint: 'Choose a directory on an ordinary file system.',
    cause,
  });
}
