import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { undoAtExit } from './undo.ts';

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** A path inside, such as `file('disk0.img')`; nothing is created. */
  file(...names: readonly string[]): string;
}

/** A new directory under the system's temporary directory, mode 0700, removed with its contents when disposed. */
export async function makeTemporaryDirectory(prefix = 'gantry-test-'): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), prefix));
  const forget = undoAtExit(() => {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Something is still mounted below: leaving it is better than a crash at exit.
    }
  });
  return {
    path,
    file: (...names) => join(path, ...names),
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
      forget();
    },
  };
}
