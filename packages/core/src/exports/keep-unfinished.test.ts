import { thisProcess } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { get, keysOf, put, sampleHeader } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { keepUnfinished } from './cut-off.ts';
import { initializeStore } from './store-marker.ts';
import { findUnfinished } from './unfinished.ts';

const PREFIX = 'web1/20261123T081500Z/';
const CLAIM = `${PREFIX}export.claim`;
const OTHER = '{"another":"run"}';

test.each([
  [`list ${PREFIX}`, 'while it is listed', 'nothing'],
  [`commit ${PREFIX}removed.json`, 'while it is kept', 'kept'],
] as const)(
  'after %s, %s, another run claims the place of a killed export, whose claim somebody took away: that claim stays',
  async (at, _what, outcome) => {
    const store = new MemoryStore();
    await initializeStore(store);
    const { tool, started } = sampleHeader;
    const process = { ...(await thisProcess()), startTime: 1 };
    await put(store, CLAIM, JSON.stringify({ format: 'gantry-claim', version: 1, runId: 'r', tool, started, process }));
    for (const name of ['disk0.pack.zst', 'disk0.map', 'disk1.pack.zst']) await put(store, `${PREFIX}${name}`, name);
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    const before = await keysOf(store);
    const slow = watchedStore(store, {
      after: async (call) => {
        if (call === at) await put(store, CLAIM, OTHER);
      },
    });
    expect(await keepUnfinished(slow, found, { runId: 'run', readBack: false })).toBe(outcome);
    expect(await get(store, CLAIM)).toBe(OTHER);
    if (outcome === 'nothing') expect(await keysOf(store)).toEqual(before);
  },
);
