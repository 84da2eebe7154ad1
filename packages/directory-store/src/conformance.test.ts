import { storeConformance } from '@gantry/transport/conformance';
import { describe, test } from 'vitest';
import { DirectoryStore } from './directory-store.ts';
import { DiskDirectory } from './testing/disk.ts';
import { MemoryFileSystem } from './testing/memory-file-system.ts';

/* Only the algorithm, over both kinds of file systems: those where bytes arrive in order, and those that need a progress mark. */

describe.each([{ inOrder: true }, { inOrder: false }])('over a file system in memory, %o', (options) => {
  const disk = new DiskDirectory();
  const open = async (): Promise<DirectoryStore> =>
    new DirectoryStore(new MemoryFileSystem(disk, { ...options, syncEveryBytes: 1024 * 1024, maxUnsyncedBytes: 2 * 1024 * 1024 }), {
      address: 'memory:',
      shown: 'memory',
      warn: () => undefined,
    });
  for (const { title, run } of storeConformance(open)) test(title, run);
});
