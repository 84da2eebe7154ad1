import type { DumpRecord, Manifest } from '../../src/exports/manifest.ts';
import type { PackRecord } from '../../src/exports/packs.ts';
import { sampleManifest, sampleRecord, sha256 } from '../sample-export.ts';

/** Two packs to which a frame map can refer: that of the export itself, and one of an earlier export. */
const PACKS: readonly [PackRecord, PackRecord] = [
  { instance: 'web1.example.com', exportId: '20261122T081500Z', name: 'disk0.zst', codec: 'zstd', size: 70_000, sha256: sha256('own') },
  { instance: 'web1.example.com', exportId: '20261121T081500Z', name: 'disk0.zst', codec: 'zstd', size: 90_000, sha256: sha256('other') },
];

export const OWNER = { instance: 'web1.example.com', exportId: '20261122T081500Z', packs: PACKS };

/** A disk whose frames are in {@link PACKS}. */
const MAPPED: DumpRecord = {
  index: 0,
  name: PACKS[0].name,
  codec: 'zstd',
  level: 3,
  frameSize: 65_536,
  frames: 1,
  plainBytes: 200_000,
  storedBytes: PACKS[0].size,
  sha256: PACKS[0].sha256,
  map: { size: 500, sha256: sha256('map'), cut: 'content', packs: PACKS },
  diskSize: 64,
  expectedBytes: 200_000,
  messages: ['dumping', 'done'],
  snapshot: 'reflink',
};

/** One manifest of each version. */
export function manifests(): readonly [Manifest, Manifest, Manifest, Manifest] {
  const complete = sampleManifest('20261123T081500Z', [sampleRecord(0, 'first disk'), sampleRecord(1, '')]);
  const { frameTables: _tables, ...first } = complete;
  const base = { ...first, exportId: OWNER.exportId };
  const { expectedBytes: _hidden, ...open } = { ...MAPPED, name: 'disk0.zst.age', messages: [] };
  const sealedPacks = PACKS.map((pack): PackRecord => Object.assign({}, pack, { name: 'disk0.zst.age' }));
  const record = { size: 500, sha256: sha256('map'), cut: 'content' as const, packs: sealedPacks };
  return [
    { ...first, version: 1 },
    {
      ...complete,
      tags: ['keep', 'v1.2'],
      note: 'before the upgrade',
      native: [{ name: 'domain.xml', secret: false, size: 3, sha256: sha256('xml') }],
    },
    { ...base, version: 3, sinceFull: 2, dumps: [MAPPED] },
    {
      ...base,
      version: 4,
      sinceFull: 2,
      os: { name: '', apiVersion: 0 },
      sealed: { recipients: ['age1qyqszqgpqyqszqgpqyqszqgp'], part: { size: 700, sha256: sha256('part') } },
      dumps: [{ ...open, map: record }],
    },
  ];
}
