import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { put, sha256 } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { renderCutOff } from './cut-off-maps.ts';
import { findCutOff } from './cut-off.ts';

/** What an export has left of two disks, whose maps have this many entries. */
async function leave(store: MemoryStore, id: string, entries: readonly [number, number]): Promise<void> {
  const maps = entries.map((count, disk) => {
    const lines = [`pack 0 disk${disk}.pack.zst zstd ${100 * count} ${'ab'.repeat(32)}`];
    for (let index = 0; index < count; index += 1) lines.push(`frame 100 ${'cd'.repeat(32)} 0 ${100 * index} 100`);
    const text = ['gantry-frame-map 1', ...lines, `end ${count} ${100 * count}`, ''].join('\n');
    return { name: `disk${disk}.map`, text };
  });
  for (const { name, text } of maps) await put(store, `web1/${id}/${name}`, text);
  const digests = maps.map(({ name, text }) => ({ name, size: text.length, sha256: sha256(text) }));
  await put(store, `web1/${id}/cut-off.json`, renderCutOff({ runId: 'run', maps: digests }));
  await put(store, `web1/${id}/removed.json`, '{}');
}

test('of many exports that were cut off, two maps of each disk are read: the newest, and the largest of the others', async () => {
  const store = new MemoryStore();
  const ids = ['20261121T081500Z', '20261122T081500Z', '20261123T081500Z', '20261124T081500Z'] as const;
  await leave(store, ids[0], [3, 9]);
  await leave(store, ids[1], [8, 3]);
  await leave(store, ids[2], [4, 1]);
  await leave(store, ids[3], [5, 2]);
  const read: string[] = [];
  const watched = watchedStore(store, { before: (call) => void (call.endsWith('.map') && read.push(call)) });
  const found = await findCutOff(watched, { instance: 'web1', disks: [0, 1] }, {});
  expect(found.disks.map(({ disk, exportId, map }) => [disk, exportId, map.length])).toEqual([
    [0, ids[3], 5],
    [0, ids[1], 8],
    [1, ids[3], 2],
    [1, ids[0], 9],
  ]);
  expect(read).toHaveLength(4);
  expect(found.exports).toEqual(ids);
});
