import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listStore } from '../operations/list-store.ts';

const NOW = Date.now();
const DAY_MS = 86_400_000;

/** A store whose objects are kept for a number of days from now; undefined: not. */
function locked(store: Store, daysOf: (key: string) => number | undefined, asked: string[] = []): Store {
  return {
    ...watchedStore(store, {}),
    protectedUntil: async (key) => {
      asked.push(key);
      const days = daysOf(key);
      return await Promise.resolve(days === undefined ? undefined : new Date(NOW + days * DAY_MS));
    },
  };
}

async function daysOf(store: Store): Promise<readonly (number | undefined)[]> {
  const { exports } = await listStore({ store });
  return exports.map(({ protectedUntil }) => protectedUntil && Math.round((protectedUntil.getTime() - NOW) / DAY_MS));
}

describe('an export', () => {
  test('is protected for as long as everything that it needs, the dumps of its parents too', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    const first = await bench.exportDisks({ incremental: true });
    await bench.exportDisks({ incremental: true });
    const isOfFirst = (key: string): boolean => key.startsWith(`${first.reference.replace('@', '/')}/`);
    const asked: string[] = [];
    await expect(daysOf(locked(store, (key) => (isOfFirst(key) ? 5 : 30), asked))).resolves.toEqual([5, 5]);
    expect(asked).toHaveLength(new Set(asked).size);
    await expect(daysOf(locked(store, (key) => (isOfFirst(key) ? 30 : 5)))).resolves.toEqual([30, 5]);
  });

  test('is not protected if one of its objects is not, or not any more, or the store does not say', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    await bench.exportDisks();
    await expect(daysOf(locked(store, (key) => (key.endsWith('disk0.zst') ? undefined : 30)))).resolves.toEqual([undefined]);
    await expect(daysOf(locked(store, (key) => (key.endsWith('manifest.json') ? -1 : 30)))).resolves.toEqual([undefined]);
    await expect(daysOf(store)).resolves.toEqual([undefined]);
  });
});
