import { rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemErrorCode } from './system-error.ts';

/** Removes the directories above a key that hold nothing any more, up to the root. One that somebody fills meanwhile stays. */
export async function removeEmptyParents(root: string, key: string): Promise<void> {
  for (let parent = dirname(key); parent !== '.'; parent = dirname(parent)) {
    try {
      await rmdir(join(root, parent));
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') return;
    }
  }
}
