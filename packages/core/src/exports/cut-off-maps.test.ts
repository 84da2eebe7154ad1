import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { put, sha256 } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { readCutOffDisk, renderCutOff } from './cut-off-maps.ts';
import type { PackRecord } from './packs.ts';

const PLACE = { instance: 'web1', id: '20261123T081500Z' };
const PREFIX = 'web1/20261123T081500Z/';
const PACK: PackRecord = {
  instance: 'web1',
  exportId: PLACE.id,
  name: 'disk0.pack.zst',
  codec: 'zstd',
  size: 5000,
  sha256: 'ab'.repeat(32),
};
const PARENT: PackRecord = { ...PACK, exportId: '20261122T081500Z', name: 'disk0.zst' };
const OTHER: PackRecord = { ...PACK, instance: 'web2', exportId: '20261121T081500Z', name: 'disk0.zst' };
const lineOf = (number: number, path: string): string => `pack ${number} ${path} zstd 5000 ${'ab'.repeat(32)}`;
const PACKS = [lineOf(0, '../20261122T081500Z/disk0.zst'), lineOf(1, '../../web2/20261121T081500Z/disk0.zst'), lineOf(2, 'disk0.pack.zst')];
const MANY_PACKS = Array.from({ length: 10_001 }, (_, number) => lineOf(number, 'disk0.pack.zst'));
const HEAD = ['gantry-frame-map 1', ...PACKS];
const FRAMES = [`frame 1000 ${'cd'.repeat(32)} 0 0 900`, `frame 1000 ${'ef'.repeat(32)} 2 100 900`, 'zeros 8000'];
const MAP = `${[...HEAD, ...FRAMES, 'end 3 10000'].join('\n')}\n`;

/** What an export has left whose map has this text. */
async function leave(
  map: string,
  said: string = renderCutOff({ runId: 'run', maps: [{ name: 'disk0.map', size: map.length, sha256: sha256(map) }] }),
): Promise<MemoryStore> {
  const store = new MemoryStore();
  await put(store, `${PREFIX}disk0.map`, map);
  await put(store, `${PREFIX}cut-off.json`, said);
  return store;
}

/** A store whose objects arrive in pieces of this size. */
function inPieces(store: Store, pieceBytes: number, onPiece: (piece: Uint8Array) => void = () => {}): Store {
  return {
    ...watchedStore(store, {}),
    read: async (key, options) => {
      const source = await store.read(key, options);
      return {
        length: source.length,
        objectSize: source.objectSize,
        async *[Symbol.asyncIterator]() {
          for await (const chunk of source) {
            for (let at = 0; at < chunk.length; at += pieceBytes) {
              const piece = chunk.subarray(at, at + pieceBytes);
              onPiece(piece);
              yield piece;
            }
          }
        },
        [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
      };
    },
  };
}

test('its packs and frames are those of its map', async () => {
  const found = await readCutOffDisk(await leave(MAP), PLACE, { disk: 0 }, {});
  expect(found).toMatchObject({ disk: 0, instance: 'web1', exportId: PLACE.id, packs: [PARENT, OTHER, PACK] });
  expect([...(found?.map ?? [])].map(({ kind, start }) => [kind, start])).toEqual([
    ['frame', 0],
    ['frame', 1000],
    ['zeros', 2000],
  ]);
});

test('it does not matter how its map arrives', async () => {
  const store = await leave(MAP);
  for (const bytes of [1, 7, 100])
    expect((await readCutOffDisk(inPieces(store, bytes), PLACE, { disk: 0 }, {}))?.map.plainBytes).toBe(10_000);
});

describe('it is passed over', () => {
  test.each<[string, string]>([
    ['if it is empty', ''],
    ['without an end', MAP.replace(/end.*\n/, '')],
    ['with packs alone', `${HEAD.join('\n')}\n`],
    ['with a pack in another place', MAP.replace('../20261122T081500Z', '../../../etc')],
    ['with a pack of another codec', MAP.replace('disk0.pack.zst zstd', 'disk0.pack.zst unknown')],
    ['with an endless line', `gantry-frame-map 1\n${'pack'.repeat(1000)}`],
    ['with more packs than a map may have', `${['gantry-frame-map 1', ...MANY_PACKS, 'end 0 0'].join('\n')}\n`],
    ['with a frame outside of its pack', MAP.replace(' 0 0 900', ' 0 4500 900')],
  ])('%s', async (_what, map) => {
    expect(await readCutOffDisk(await leave(map), PLACE, { disk: 0 }, {})).toBeUndefined();
  });

  test.each<[string, string]>([
    ['nothing of its maps, as one of an earlier version', JSON.stringify({ format: 'gantry-cut-off', version: 1 })],
    ['nothing of this map', renderCutOff({ runId: 'run', maps: [{ name: 'disk1.map', size: MAP.length, sha256: sha256(MAP) }] })],
    ['another SHA-256', renderCutOff({ runId: 'run', maps: [{ name: 'disk0.map', size: MAP.length, sha256: sha256('') }] })],
    ['another size', renderCutOff({ runId: 'run', maps: [{ name: 'disk0.map', size: MAP.length - 1, sha256: sha256(MAP) }] })],
    ['a size that no map has', renderCutOff({ runId: 'run', maps: [{ name: 'disk0.map', size: 2 ** 32, sha256: sha256(MAP) }] })],
    ['something else than JSON', 'gone'],
  ])('if cut-off.json says %s', async (_what, said) => {
    expect(await readCutOffDisk(await leave(MAP, said), PLACE, { disk: 0 }, {})).toBeUndefined();
  });

  test('if it has gone meanwhile', async () => {
    const store = await leave(MAP);
    await store.remove([`${PREFIX}disk0.map`]);
    expect(await readCutOffDisk(store, PLACE, { disk: 0 }, {})).toBeUndefined();
  });
});

test('of an object that is larger than it should be, nothing is read', async () => {
  const said = renderCutOff({ runId: 'run', maps: [{ name: 'disk0.map', size: MAP.length, sha256: sha256(MAP) }] });
  const store = await leave(MAP + 'x'.repeat(1024 * 1024), said);
  let bytes = 0;
  const counted = inPieces(store, 1000, (chunk) => (bytes += chunk.length));
  expect(await readCutOffDisk(counted, PLACE, { disk: 0 }, {})).toBeUndefined();
  expect(bytes).toBe(said.length);
});
