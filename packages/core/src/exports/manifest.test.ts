import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleInstance, sampleManifest, sampleRecord } from '../../test/sample-export.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import type { DumpRecord } from './manifest.ts';
import { checkManifest, describeInstance, parseManifest, renderManifest } from './manifest.ts';

const { frameCrc32: _, ...sample } = sampleRecord(0, 'x');
const record: DumpRecord = {
  ...sample,
  name: 'disk0.zst',
  codec: 'zstd',
  level: 3,
  frames: 3,
  plainBytes: 2 * FRAME_SIZE + 1,
  storedBytes: 4711,
  diskSize: 20480,
  expectedBytes: 9000,
};
const manifest = sampleManifest('20261123T081500Z', [record, sampleRecord(1, 'second')]);

function failure(document: unknown): GantryError {
  try {
    checkManifest(document, 'manifest.json of web1');
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error('accepted');
}

test('what is written is read', () => {
  expect(parseManifest(renderManifest(manifest), 'it')).toEqual(manifest);
});

test('version 1, which has no frame tables, is read', () => {
  const { frameTables: _, ...first } = { ...manifest, version: 1 as const };
  expect(checkManifest(first, 'it')).toEqual(first);
});

test('fields that a later version may add are passed over', () => {
  const one = sampleManifest('20261123T081500Z', [record]);
  const document = { ...one, later: true, instance: { ...sampleInstance, later: 1 }, dumps: [{ ...record, later: [] }] };
  expect(checkManifest(document, 'it')).toEqual(one);
});

test('private parameters are in it only when asked for', () => {
  const instance = { ...sampleInstance, osparams_private: { root_password: 'hunter2' } };
  expect(describeInstance(instance, { includePrivate: false })).toEqual(sampleInstance);
  expect(describeInstance(instance, { includePrivate: true })).toEqual(instance);
});

describe('what is refused', () => {
  test('another version, with both named', () => {
    const error = failure({ format: 'gantry-export', version: 5, everything: 'else is new' });
    expect(error).toMatchObject({
      code: 'MANIFEST_VERSION',
      message: 'manifest.json of web1 has version 5; this Gantry reads versions 1, 2, 3 and 4',
    });
  });

  test('a codec of a later version, by its name', () => {
    const error = failure({ ...manifest, dumps: [{ ...record, codec: 'lz9' }, manifest.dumps[1]] });
    expect(error).toMatchObject({
      code: 'CODEC_UNKNOWN',
      message: 'manifest.json of web1: this version of Gantry does not know the codec lz9',
      hint: expect.stringContaining('It knows zstd, gzip, none.'),
    });
  });

  test.each([['{'], ['[]'], ['null'], ['"text"'], ['{}'], ['{"format":"gantry-export"}'], ['{"format":"other","version":1}']])(
    '%s is none',
    (text) => {
      expect(() => parseManifest(text, 'manifest.json of web1')).toThrow(expect.objectContaining({ code: 'MANIFEST_DAMAGED' }));
    },
  );

  test.each([
    ['a name that leads elsewhere', { name: '../../etc/passwd' }, 'dumps.0.name: is not a plain file name'],
    ['an absolute name', { name: '/etc/passwd' }, 'dumps.0.name: is not a plain file name'],
    ['the name of the manifest', { name: 'manifest.json' }, 'dumps.0.name: is not a plain file name'],
    ['a name that is not text', { name: 5 }, 'dumps.0.name: '],
    ['the name of another dump', { name: 'disk1.img' }, 'dumps.1: the name disk1.img is taken by another file'],
    ['the disk of another dump', { index: 1 }, 'dumps.1: disk 1 has another dump'],
    ['a disk that the instance does not have', { index: 2 }, 'dumps.0: the instance has no disk 2'],
    ['a disk with a negative index', { index: -1 }, 'dumps.0.index: '],
    ['a codec that cannot be one', { codec: 'L Z' }, 'dumps.0.codec: '],
    ['frames that no reader can hold', { frameSize: 2 ** 40 }, 'dumps.0.frameSize: '],
    ['frames of nothing', { frameSize: 0 }, 'dumps.0.frameSize: '],
    ['too few frames for the bytes', { frames: 2 }, 'dumps.0: 8388609 plain bytes in frames of 4194304 make 3 frames, not 2'],
    ['a size that is not a safe number', { plainBytes: 2 ** 53 }, 'dumps.0.plainBytes: '],
    ['a negative size', { storedBytes: -1 }, 'dumps.0.storedBytes: '],
    ['half a byte', { storedBytes: 0.5 }, 'dumps.0.storedBytes: '],
    ['a digest that is too short', { sha256: 'abc' }, 'dumps.0.sha256: is not a SHA-256'],
    [
      'uncompressed bytes that became fewer',
      { codec: 'none' },
      'dumps.0: it is not compressed, but has 8388609 plain and 4711 stored bytes',
    ],
    [
      'too few checksums of frames',
      { codec: 'none', storedBytes: record.plainBytes, frameCrc32: 'AAAAAA==' },
      'dumps.0: it has 3 frames and 1 checksums of frames',
    ],
    ['checksums that are not base64', { frameCrc32: '§' }, 'dumps.0.frameCrc32: '],
  ])('%s', (_title, fields, problem) => {
    const error = failure({ ...manifest, dumps: [{ ...record, ...fields }, manifest.dumps[1]] });
    expect(error.code).toBe('MANIFEST_DAMAGED');
    expect(error.message).toContain(`manifest.json of web1 is damaged: ${problem}`);
  });

  test('version 2 without frame tables', () => {
    const { frameTables: _, ...without } = manifest;
    expect(failure(without).message).toContain('frameTables: is missing');
  });

  test('version 1 with a frame map, which nothing compares with the dump', () => {
    const pack = { instance: 'web1', exportId: 'x', name: 'disk0.zst', codec: 'zstd', size: 1, sha256: 'a'.repeat(64) };
    const map = { size: 100, sha256: 'a'.repeat(64), cut: 'place', packs: [pack] };
    const { frameTables: _, ...first } = { ...manifest, version: 1, dumps: [{ ...record, map }] };
    expect(failure(first).message).toContain('dumps.0: it has a frame map, which version 1 does not know');
  });

  test('an uncompressed dump of version 1 without checksums of its frames', () => {
    const dumps = [{ ...record, codec: 'none', storedBytes: record.plainBytes }];
    const { frameTables: _, ...first } = { ...manifest, version: 1, dumps };
    expect(failure(first).message).toContain('disk0.zst is not compressed, and has no checksums of its frames (frameCrc32)');
  });

  test.each([
    [
      'frame tables that are not those of all frames',
      { frameTables: { size: 40, sha256: 'a'.repeat(64) } },
      'frameTables: has 40 bytes, and the frames of all dumps take 48',
    ],
    [
      'an instance whose name leads elsewhere',
      { instance: { ...sampleInstance, name: '../web1' } },
      'instance.name: is not the name of an instance',
    ],
    ['an instance without a name', { instance: {} }, 'instance.name: '],
    ['an export id that leads elsewhere', { exportId: 'a/b' }, 'exportId: is not an export id'],
    ['a time that is not one', { started: 'yesterday' }, 'started: is not a time in UTC'],
    ['a time of another zone', { started: '2026-11-23T08:15:00+01:00' }, 'started: is not a time in UTC'],
    ['no dumps', { dumps: undefined }, 'dumps: '],
  ])('%s', (_title, fields, problem) => {
    expect(failure({ ...manifest, ...fields }).message).toContain(`manifest.json of web1 is damaged: ${problem}`);
  });

  test('the details of an unending list of problems end', () => {
    const dumps = Array.from({ length: 5000 }, () => ({}));
    expect(failure({ ...manifest, dumps }).details.length).toBeLessThanOrEqual(20);
  });

  test('any change of one character is noticed, or harmless: nothing but these errors comes of it', () => {
    const text = renderManifest(manifest);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('', '"', '0', '-', '{', ']', 'x', '\n'), (at, character) => {
        try {
          parseManifest(text.slice(0, at) + character + text.slice(at + 1), 'it');
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(MANIFEST_|CODEC_UNKNOWN$)/) });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

test('a dump of nothing has no frame, or one of nothing', () => {
  for (const frames of [0, 1]) {
    const empty = { ...record, frames, plainBytes: 0 };
    expect(checkManifest(sampleManifest('20261123T081500Z', [empty]), 'it').dumps).toEqual([empty]);
  }
});

describe('frame maps', () => {
  const digest = { size: 100, sha256: 'ab'.repeat(32) };
  const parent = { instance: sampleInstance.name, exportId: '20261122T081500Z', name: 'disk0.zst', codec: 'zstd' as const, ...digest };
  const own = { ...parent, exportId: manifest.exportId, name: record.name, size: record.storedBytes, sha256: record.sha256 };
  const ofCut = { ...digest, cut: 'place' as const };
  const pack: DumpRecord = {
    ...record,
    name: 'disk0.pack.zst',
    frames: 2,
    map: { ...ofCut, packs: [parent, { ...own, name: 'disk0.pack.zst' }] },
  };
  const { frameTables: _, ...lineage } = { ...manifest, version: 3 as const, dumps: [pack] };
  const problemOf = (fields: Partial<DumpRecord>): string => failure({ ...lineage, dumps: [{ ...pack, ...fields }] }).message;

  test('in version 2, of a dump that is complete by itself', () => {
    const first = sampleManifest(manifest.exportId, [{ ...record, map: { ...ofCut, packs: [own] } }]);
    expect(checkManifest(first, 'it')).toEqual(first);
    const { message } = failure({ ...first, dumps: [{ ...record, map: { ...ofCut, packs: [parent, own] } }] });
    expect(message).toContain('dumps.0: its frame map refers to other exports');
  });

  test('in version 3, with or without frames of its own', () => {
    expect(checkManifest(lineage, 'it')).toEqual(lineage);
    const unchanged = { ...pack, frames: 0, storedBytes: 0, map: { ...ofCut, packs: [parent] } };
    expect(checkManifest({ ...lineage, dumps: [unchanged] }, 'it').dumps).toEqual([unchanged]);
  });

  test.each<[string, Partial<DumpRecord>, string]>([
    ['another own dump', { sha256: 'cd'.repeat(32) }, 'its frame map has another dump of this export'],
    ['an own dump that the map does not know', { map: { ...ofCut, packs: [parent] } }, 'its frame map has another dump of this export'],
    ['an own dump that does not exist', { storedBytes: 0 }, 'its frame map has another dump of this export'],
    ['two own dumps', { map: { ...ofCut, packs: [own, own] } }, 'its frame map has another dump of this export'],
    ['checksums of frames', { frameCrc32: 'AAAAAA==' }, 'it has checksums of frames outside of its frame map'],
    ['a pack whose name leads elsewhere', { map: { ...ofCut, packs: [{ ...parent, name: '../../etc' }] } }, 'is not a plain file name'],
    [
      'a pack of an instance that leads elsewhere',
      { map: { ...ofCut, packs: [{ ...parent, instance: '..' }] } },
      'is not the name of an instance',
    ],
    ['a pack of no bytes', { map: { ...ofCut, packs: [{ ...parent, size: 0 }] } }, 'dumps.0.map.packs.0.size'],
    ['more packs than anybody has', { map: { ...ofCut, packs: Array.from({ length: 10_001 }, () => parent) } }, 'dumps.0.map.packs'],
  ])('%s is refused', (_title, fields, problem) => {
    expect(problemOf(fields)).toContain(problem);
  });

  test('version 3 without a map, or with frame tables, is refused', () => {
    const { map: _, ...without } = pack;
    expect(failure({ ...lineage, dumps: [without] }).message).toContain('dumps.0: it has no frame map');
    expect(failure({ ...lineage, frameTables: digest }).message).toContain('frameTables: is there, although there are frame maps');
  });
});
