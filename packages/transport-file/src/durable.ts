import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from './system-error.ts';

/** Makes the names in a directory durable (fsync(2): syncing a file does not sync its name). */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

/** Makes a directory with all missing ones above it, mode 0700, and their names durable. */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return;
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    await makeDirectory(dirname(path));
    return makeDirectory(path);
  }
  await syncDirectory(dirname(path));
}
