import { expect, test } from 'vitest';
import { DirectoryStore } from './directory-store.ts';
import { MemoryFileSystem } from './testing/memory-file-system.ts';

/** Lets that many tasks have their turn. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
}

/*
 * The end of the last unfinished write removes the directory of all of them. Writes that begin at that moment try again; they once removed
 * it from each other then, until both gave up.
 */
test('two writes that begin while another one ends both begin, at any moments', async () => {
  const moments = Array.from({ length: 8 }, (_, index) => index * 3);
  for (const first of moments) {
    for (const second of moments) {
      let steps = 0;
      const fileSystem = new MemoryFileSystem(undefined, { before: () => void (steps += 1) });
      await using store = new DirectoryStore(fileSystem, { address: 'memory:', shown: 'memory', warn: () => undefined });
      const ending = await store.begin('ending');
      const begin = async (key: string, after: number): Promise<void> => {
        await turns(after);
        await (await store.begin(key)).discard();
      };
      await Promise.all([ending.discard(), begin('a', first), begin('b', second)]);
      expect(steps, `after ${first} and ${second} turns`).toBeLessThan(100);
    }
  }
});
