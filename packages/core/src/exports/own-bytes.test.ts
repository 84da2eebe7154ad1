import type { ObjectInfo } from '@gantry/transport';
import { expect, test } from 'vitest';
import { sampleInstance, sampleManifest, sampleRecord } from '../../test/sample-export.ts';
import type { ExportDirectory } from './directories.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { OwnBytes } from './own-bytes.ts';
import type { PackRecord } from './packs.ts';

const DIGEST = 'a'.repeat(64);

function pack(exportId: string, size: number, instance = sampleInstance.name): PackRecord {
  return { instance, exportId, name: 'disk0.img', codec: 'none', size, sha256: DIGEST };
}

/** An export that stores a dump of that size, or nothing, and needs these packs. */
function makeExport(id: string, size: number, needs: readonly PackRecord[] = []): readonly [ExportDirectory, Manifest] {
  const map = { size: 10, sha256: DIGEST, cut: 'place' as const, packs: needs };
  const dump: DumpRecord = { ...sampleRecord(0, 'x'), storedBytes: size, map };
  return [directory(id, { 'manifest.json': 7, ...(size === 0 ? {} : { 'disk0.img': size }) }), sampleManifest(id, [dump])];
}

function directory(id: string, sizes: Readonly<Record<string, number>>): ExportDirectory {
  const files = Object.entries(sizes).map(([name, size]): [string, ObjectInfo] => [name, { key: name, size, modified: new Date() }]);
  return { instance: sampleInstance.name, id, files: new Map(files) };
}

function totals(...exports: readonly (readonly [ExportDirectory, Manifest?])[]): Record<string, number> {
  const own = new OwnBytes();
  for (const [found, manifest] of exports) own.add(found, manifest);
  return Object.fromEntries([...own.total()].map(([reference, bytes]) => [reference.split('@')[1], bytes]));
}

test('an export that shares nothing owns all of its files', () => {
  expect(totals(makeExport('1', 1000), makeExport('2', 500))).toEqual({ 1: 1007, 2: 507 });
  expect(totals([directory('ganeti', { 'config.ini': 5, 'disk0.gz': 90 })])).toEqual({ ganeti: 95 });
});

test('a dump that another export needs is not given back', () => {
  const all = [makeExport('1', 1000), makeExport('2', 100, [pack('1', 1000), pack('2', 100)]), makeExport('3', 0, [pack('1', 1000)])];
  expect(totals(...all)).toEqual({ 1: 7, 2: 107, 3: 7 });
});

test('a dump that another export needs is not given back by an export whose manifest cannot be read', () => {
  const [found] = makeExport('1', 1000);
  expect(totals([found], makeExport('2', 0, [pack('1', 1000)]))).toEqual({ 1: 7, 2: 7 });
  expect(totals([found])).toEqual({ 1: 1007 });
});

test('what is kept of a removed export is given back by the last export that needs it', () => {
  expect(totals(makeExport('2', 0, [pack('1', 1000)]))).toEqual({ 2: 1007 });
  expect(totals(makeExport('2', 0, [pack('1', 1000)]), makeExport('3', 0, [pack('1', 1000)]))).toEqual({ 2: 7, 3: 7 });
  expect(totals(makeExport('2', 0, [pack('1', 10, 'other')]))).toEqual({ 2: 17 });
});
