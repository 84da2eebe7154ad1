import { randomUUID } from 'node:crypto';
import { access, constants, mkdir, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

import { errnoName } from './errno-name.ts';

/** Makes the names in a directory durable: files that were created or removed there stay so after a power cut (fsync(2)). */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

/**
 * Creates a directory, and those above it, if it is missing; they survive a power cut. (Node's `recursive` mkdir is not used: it fails
 * with ENOENT where a file system is read-only.)
 */
export async function makeDirectoryDurably(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const errno = errnoName(error);
    if (errno === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (errno !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectoryDurably(dirname(path), mode);
    return await makeInParent(path, mode);
  }
  await syncDirectory(dirname(path));
}

/** Another process may create the same directory at the same time. */
async function makeInParent(path: string, mode: number): Promise<void> {
  await mkdir(path, { mode }).catch(async (error: unknown) => {
    if (errnoName(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error;
  });
  await syncDirectory(dirname(path));
}

/**
 * Replaces a small file, or creates it: readers see the old text or the new one, also after a power cut. A device, a pipe or a directory is
 * not replaced.
 */
export async function replaceFile(path: string, text: string, mode = 0o600): Promise<void> {
  await assertReplaceable(path);
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await using file = await open(temporary, 'wx', mode);
    // Also where the umask would take something away.
    await file.chmod(mode);
    await file.writeFile(text);
    await file.sync();
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/**
 * Whether {@link replaceFile} can work, as far as that is known before: the directory exists and may be written to, and what is there is a
 * file. Root could put a file in the place of /dev/null.
 *
 * @throws Error that says why not
 */
export async function assertReplaceable(path: string): Promise<void> {
  await access(dirname(path), constants.W_OK | constants.X_OK);
  try {
    if (!(await stat(path)).isFile()) throw new Error('there is something else than a regular file');
  } catch (error) {
    if (errnoName(error) !== 'ENOENT') throw error;
  }
}
