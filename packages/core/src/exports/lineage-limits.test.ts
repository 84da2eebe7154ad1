import { expect, test } from 'vitest';
import { sampleManifest, sampleRecord } from '../../test/sample-export.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { makeExportId } from './export-id.ts';
import { exceededLimit, withinLimits } from './lineage-limits.ts';
import type { PackRecord } from './packs.ts';
import type { ParentDisk } from './parents.ts';

const SHA256 = 'ab'.repeat(32);

/** The packs of this many exports. */
function packsOf(instance: string, count: number, name = 'disk0.pack.zst'): readonly PackRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    instance,
    exportId: makeExportId(new Date(index * 1000), 1),
    name,
    codec: 'zstd',
    size: 1,
    sha256: SHA256,
  }));
}

function parentOf(disk: number, packs: readonly PackRecord[], id = '20261123T081500Z'): ParentDisk {
  const record = { ...sampleRecord(disk, 'data'), map: { size: 1, sha256: SHA256, cut: 'place', packs } as const };
  return { disk, manifest: sampleManifest(id, [record]), record };
}

test('a disk may refer to thousands of packs, each counted once, but not to more than its frame map could have', () => {
  const packs = packsOf('web1', 8001);
  const [most, one] = [packs.slice(0, 8000), packs.slice(8000)];
  expect(exceededLimit([parentOf(0, most), parentOf(0, most), parentOf(1, one)])).toBeUndefined();
  expect(exceededLimit([parentOf(0, most), parentOf(0, one)])).toBe('8001 packs for disk 0 (at most 8000 are allowed)');
  const [pack] = one;
  if (pack === undefined) throw new Error('there is no pack');
  const map = { disk: 0, instance: 'web1', exportId: pack.exportId, map: new FrameMap(), packs: one };
  expect(exceededLimit([parentOf(0, most)], [map])).toBe('8001 packs for disk 0 (at most 8000 are allowed)');
});

test('all disks together may not refer to more than a manifest could have', () => {
  const disks = [0, 1, 2].map((disk) => parentOf(disk, packsOf('web1', 6667, `disk${disk}.pack.zst`)));
  expect(exceededLimit(disks.slice(1))).toBeUndefined();
  expect(exceededLimit(disks)).toBe('20001 packs (at most 20000 are allowed)');
});

test('the names of all exports must fit into a claim', () => {
  expect(exceededLimit([parentOf(0, packsOf('a'.repeat(50), 7000))])).toBeUndefined();
  expect(exceededLimit([parentOf(0, packsOf('a'.repeat(200), 7000))])).toMatch(/^7001 other exports, whose names do not fit into a claim$/);
});

test('of the parents of a copy, the first are taken that are not too much', () => {
  const packs = packsOf('web1', 9000);
  const parents = [
    parentOf(0, packs.slice(0, 4000), '20261123T081500Z'),
    parentOf(0, packs.slice(0, 5000), '20261124T081500Z'),
    parentOf(0, packs.slice(1000), '20261125T081500Z'),
  ];
  expect(withinLimits(parents)).toEqual(parents.slice(0, 2));
  expect(withinLimits(parents.slice(0, 1))).toEqual(parents.slice(0, 1));
  expect(withinLimits([parentOf(0, packs)])).toEqual([]);
});
