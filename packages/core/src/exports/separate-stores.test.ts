import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { watchedStore } from '../../test/watched-store.ts';
import { assertSeparateStores, knownStoreId } from './separate-stores.ts';
import { initializeStore } from './store-marker.ts';

test('each store is asked for its id until it has one, and then never again', async () => {
  const calls: string[] = [];
  const [one, two] = [new MemoryStore(), new MemoryStore()].map((store) =>
    watchedStore(store, { before: (call) => void (call.startsWith('read ') && calls.push(call)) }),
  );
  if (one === undefined || two === undefined) throw new Error('there are two');
  expect(await knownStoreId(one, {})).toBeUndefined();
  await Promise.all([initializeStore(one), initializeStore(two)]);
  calls.length = 0;
  for (let time = 0; time < 3; time += 1) await assertSeparateStores([one, two], {});
  expect(calls).toHaveLength(2);
  await expect(assertSeparateStores([one, two, one], {})).rejects.toMatchObject({ code: 'USAGE' });
});
