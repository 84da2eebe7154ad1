import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, put } from '../../test/sample-export.ts';
import { exportPrefix, parseExportReference } from '../exports/export-id.ts';
import type { FrameCut } from '../exports/frame-cuts.ts';
import { renderFrameMap } from '../exports/frame-map-text.ts';
import { mapFileName } from '../exports/layout.ts';
import { parseManifest, renderManifest } from '../exports/manifest.ts';
import { digestBytes } from '../exports/small-object.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { isZero } from '../frames/zeros.ts';
import { diffExports } from './diff.ts';

let bench: OperationBench;
let disk: string;
let first: string;
let second: string;

/** A disk of frames: the first and the last have data, the second and the fourth have zeros. */
beforeEach(async () => {
  bench = await makeOperationBench({ disks: 1 });
  disk = bench.instance.disks[0]?.path ?? '';
  await writeFile(disk, Buffer.concat([frame('a'), frame(), frame('c'), frame(), frame('e').subarray(0, 1000)]));
  first = (await bench.exportDisks({ codec: 'none' })).reference;
  await writeFile(disk, Buffer.concat([frame('a'), frame('b'), frame(), frame(), frame('E').subarray(0, 1000)]));
  second = (await bench.exportDisks({ codec: 'none' })).reference;
});

afterEach(() => bench[Symbol.asyncDispose]());

function frame(content?: string): Buffer {
  return content === undefined ? Buffer.alloc(FRAME_SIZE) : Buffer.alloc(FRAME_SIZE, content);
}

/** Gives an export of a disk that is not compressed the frame map that a lineage would have. */
async function addMap(reference: string, cut: FrameCut, ...order: readonly number[]): Promise<void> {
  const { instance, id = '' } = parseExportReference(reference);
  const prefix = exportPrefix(instance, id);
  const manifest = parseManifest(await get(bench.store, `${prefix}manifest.json`), 'it');
  const [dump] = manifest.dumps;
  if (dump === undefined) throw new Error('it has no dump');
  const stored = await readFile(disk);
  const map = new FrameMap();
  for (const index of order) {
    const offset = index * FRAME_SIZE;
    const plain = stored.subarray(offset, offset + FRAME_SIZE);
    const sha256 = createHash('sha256').update(plain).digest();
    const place = { pack: 0, offset, storedBytes: plain.length };
    map.push(isZero(plain) ? { kind: 'zeros', plainBytes: plain.length } : { kind: 'frame', plainBytes: plain.length, sha256, place });
  }
  const { name, codec, storedBytes: size, sha256 } = dump;
  const packs = [{ instance, exportId: id, name, codec, size, sha256 }];
  const text = Buffer.concat([...renderFrameMap(map, { instance, exportId: id, packs })]);
  await put(bench.store, `${prefix}${mapFileName(0)}`, text);
  const dumps = [{ ...dump, map: { ...digestBytes(text), cut, packs } }];
  await put(bench.store, `${prefix}manifest.json`, renderManifest({ ...manifest, dumps }));
}

/** A store that says which dumps were read. */
function watchReads(): { readonly store: Store; readonly dumps: string[] } {
  const dumps: string[] = [];
  const store = alterStore(bench.store, {
    read: (key, options) => {
      if (key.endsWith('.img')) dumps.push(key);
      return bench.store.read(key, options);
    },
  });
  return { store, dumps };
}

const MIXED = {
  added: { frames: 2, bytes: FRAME_SIZE + 1000 },
  gone: { frames: 2, bytes: FRAME_SIZE + 1000 },
  firstBytes: 4 * FRAME_SIZE + 1000,
  secondBytes: 4 * FRAME_SIZE + 1000,
};

test('disks without frame maps are read, and compared place by place', async () => {
  const { store } = bench;
  expect(await diffExports({ store, first, second })).toEqual({
    first,
    second,
    disks: [{ disk: 0, ...MIXED, by: 'reading' }],
    warnings: [],
  });
  const same = await diffExports({ store, first, second: first });
  expect(same.disks).toMatchObject([{ added: { frames: 0, bytes: 0 }, gone: { frames: 0, bytes: 0 } }]);
});

test('what has frame maps is compared by these, and what has none is read: the result is the same', async () => {
  await addMap(second, 'place', 0, 1, 2, 3, 4);
  const half = watchReads();
  expect((await diffExports({ store: half.store, first, second })).disks).toEqual([{ disk: 0, ...MIXED, by: 'reading' }]);
  expect(new Set(half.dumps)).toEqual(new Set([`${first.replace('@', '/')}/disk0.img`]));
  await writeFile(disk, Buffer.concat([frame('a'), frame(), frame('c'), frame(), frame('e').subarray(0, 1000)]));
  await addMap(first, 'place', 0, 1, 2, 3, 4);
  const whole = watchReads();
  expect((await diffExports({ store: whole.store, first, second })).disks).toEqual([{ disk: 0, ...MIXED, by: 'maps' }]);
  expect(whole.dumps).toEqual([]);
});

test('data that only moved does not differ in frames that are cut by content', async () => {
  await addMap(second, 'content', 0, 1, 2, 3, 4);
  const third = (await bench.exportDisks({ codec: 'none' })).reference;
  await addMap(third, 'content', 1, 0, 2, 3, 4);
  expect((await diffExports({ store: bench.store, first: second, second: third })).disks).toMatchObject([
    { added: { frames: 0 }, gone: { frames: 0 }, by: 'maps' },
  ]);
  // Another cut is read.
  expect((await diffExports({ store: bench.store, first, second })).disks).toEqual([{ disk: 0, ...MIXED, by: 'reading' }]);
});

test('of a disk that only one export has, everything differs', async () => {
  await using other = await makeOperationBench({ disks: 2, store: bench.store });
  const two = (await other.exportDisks({ codec: 'none' })).reference;
  const { disks } = await diffExports({ store: bench.store, first: two, second: first });
  expect(disks).toMatchObject([
    { disk: 0 },
    { disk: 1, added: { frames: 0 }, gone: { frames: 1, bytes: 64 * 1024 }, firstBytes: 64 * 1024 },
  ]);
  expect(disks[1]).not.toHaveProperty('secondBytes');
});

test('frames that are cut by content count once, however often a disk has them', async () => {
  await addMap(second, 'content', 0, 1, 1, 3, 4);
  const third = (await bench.exportDisks({ codec: 'none' })).reference;
  await addMap(third, 'content', 0, 0, 2, 3, 4);
  expect((await diffExports({ store: bench.store, first: third, second })).disks).toMatchObject([
    { added: { frames: 1, bytes: FRAME_SIZE }, gone: { frames: 0 }, by: 'maps' },
  ]);
});

test('the size of a disk in an export of Ganeti is what was read of it', async () => {
  const { store } = bench;
  const config = await get(store, `${second.replace('@', '/')}/config.ini`);
  await put(store, 'ganeti.example.com/config.ini', config.replaceAll(bench.instance.name, 'ganeti.example.com'));
  await put(store, 'ganeti.example.com/disk0.img', await readFile(disk));
  const { firstBytes, secondBytes } = MIXED;
  expect((await diffExports({ store, first: second, second: 'ganeti.example.com' })).disks).toMatchObject([
    { added: { frames: 0 }, gone: { frames: 0 }, firstBytes, secondBytes, by: 'reading' },
  ]);
});
