import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { PatchInMap } from './frame-map.ts';
import { FrameMap } from './frame-map.ts';

const PATCHES = 200_000;

function patchOf(index: number): PatchInMap {
  const place = { pack: 2, offset: index * 10, storedBytes: 10 };
  const base = { pack: index % 3, offset: index * 2 ** 20, storedBytes: index + 1, plainBytes: index + 2 };
  return { kind: 'patch', plainBytes: 100, sha256: Buffer.alloc(32, index), place, base };
}

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

test('a map of nothing but patches has no object for each of them', () => {
  const map = new FrameMap();
  const before = heapBytes();
  for (let index = 0; index < PATCHES; index += 1) map.push(patchOf(index));
  expect(heapBytes() - before).toBeLessThan(PATCHES * 10);
  map.push({ kind: 'zeros', plainBytes: 5 });
  for (const index of [0, 1, 77_777, PATCHES - 1]) expect(map.at(index)).toEqual({ ...patchOf(index), start: index * 100 });
  expect(map.at(PATCHES)).toEqual({ kind: 'zeros', start: PATCHES * 100, plainBytes: 5 });
});
