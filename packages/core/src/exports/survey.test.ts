import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { writeLineageExport } from '../../test/lineage-export.ts';
import { initializeStore } from './store-marker.ts';
import { surveyStore } from './survey.ts';

test('exports of an instance that refer to the same pack share its record: a lineage has as many references as the square of its length', async () => {
  const store = new MemoryStore();
  await initializeStore(store);
  let parent: string | undefined;
  for (const day of [1, 2, 3]) {
    const started = new Date(Date.UTC(2026, 10, day));
    parent = await writeLineageExport(store, { instance: 'web1', started, frames: ['a', 'bb', String(day)], parent });
  }
  const found = (await Array.fromAsync(surveyStore(store, { needsManifest: () => true }))).flat();
  const packs = found.map((each) => (each.state === 'export' ? each.manifest.dumps[0]?.map?.packs[0] : undefined));
  expect(packs[0]).toMatchObject({ instance: 'web1', name: 'disk0.pack.img' });
  expect(packs[1]).toBe(packs[0]);
  expect(packs[2]).toBe(packs[0]);
});
