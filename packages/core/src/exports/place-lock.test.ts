import { thisProcess } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { keysOf, put, sampleHeader } from '../../test/sample-export.ts';
import { keepUnfinished } from './cut-off.ts';
import { lockPlace } from './place-lock.ts';
import { initializeStore } from './store-marker.ts';
import { clearUnfinished, findUnfinished } from './unfinished.ts';

const PLACE = { instance: 'web1', id: '20261123T081500Z' };
const PREFIX = `${PLACE.instance}/${PLACE.id}/`;

/** What an incremental export has left that was killed. */
async function storeWithRemains(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await initializeStore(store);
  const { tool, started } = sampleHeader;
  const process = { ...(await thisProcess()), startTime: 1 };
  await put(store, `${PREFIX}export.claim`, JSON.stringify({ format: 'gantry-claim', version: 1, runId: 'r', tool, started, process }));
  for (const name of ['disk0.pack.zst', 'disk0.map', 'disk1.pack.zst']) await put(store, `${PREFIX}${name}`, name);
  return store;
}

test('what a dead run left stays as it is while another run has locked its place', async () => {
  const store = await storeWithRemains();
  const before = await keysOf(store);
  const [found] = await findUnfinished(store);
  if (found === undefined) return expect.unreachable();
  {
    await using lock = await lockPlace(PLACE);
    expect(lock).toBeDefined();
    expect(await keepUnfinished(store, found, { runId: 'run', readBack: true })).toBe('nothing');
    expect(await clearUnfinished(store, found)).toBe('taken');
    expect(await keysOf(store)).toEqual(before);
  }
  expect(await keepUnfinished(store, found, { runId: 'run', readBack: true })).toBe('kept');
  expect(await keysOf(store)).not.toContain(`${PREFIX}disk1.pack.zst`);
});
