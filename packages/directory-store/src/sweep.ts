import { isKeyPart } from '@gantry/transport';
import type { Directory } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';
import { boundedEntries } from './limits.ts';
import { orMissing } from './paths.ts';

/**
 * Removes empty directories below a directory. A store keeps none: removing the last object of a directory removes the directory too,
 * unless the process is killed in between. A writer whose new directory is removed before it has an object creates it again.
 *
 * @returns whether the directory itself is empty now
 */
export async function sweepEmptyDirectories(directory: Directory, signal: AbortSignal | undefined): Promise<boolean> {
  const names: string[] = [];
  let kept = 0;
  for await (const { name, kind } of boundedEntries(directory)) {
    if (kind === 'directory' && isKeyPart(name)) names.push(name);
    else kept += 1;
  }
  for (const name of names) {
    signal?.throwIfAborted();
    if (!(await sweepOne(directory, name, signal))) kept += 1;
  }
  return kept === 0;
}

/** @returns whether it is gone. Directories that this user may not read or remove stay. */
async function sweepOne(parent: Directory, name: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const directory = await orMissing(parent.walk([name]));
    if (directory === undefined) return true;
    await using open = directory;
    if (!(await sweepEmptyDirectories(open, signal))) return false;
    await orMissing(parent.removeDirectory(name));
    return true;
  } catch (error) {
    if (isFileSystemError(error)) return false;
    throw error;
  }
}
