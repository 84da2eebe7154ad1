import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { FrameInMap, MapEntry } from '../frames/frame-map.ts';
import { FrameMap } from '../frames/frame-map.ts';
import type { MapOwner } from './frame-map-text.ts';
import { FrameMapParser, FrameMapProblem, renderFrameMap } from './frame-map-text.ts';
import type { PackRecord } from './packs.ts';

const MIB = 1024 * 1024;
const OTHER: PackRecord = {
  instance: 'template.example.com',
  exportId: '20261101T000000Z',
  name: 'disk0.zst',
  codec: 'zstd',
  size: 100 * MIB,
  sha256: 'ab'.repeat(32),
};
const PARENT: PackRecord = { ...OTHER, instance: 'web1.example.com', exportId: '20261122T081500Z' };
const OWN: PackRecord = { ...PARENT, exportId: '20261123T081500Z', name: 'disk0.pack.zst', size: 5000 };
const PLAIN: PackRecord = { ...PARENT, exportId: '20261121T081500Z', name: 'disk0.img', codec: 'none' };
const OWNER: MapOwner = { instance: OWN.instance, exportId: OWN.exportId, packs: [PARENT, OTHER, OWN, PLAIN] };

const HEADER = [
  'gantry-frame-map 1',
  `pack 0 ../20261122T081500Z/disk0.zst zstd ${100 * MIB} ${'ab'.repeat(32)}`,
  `pack 1 ../../template.example.com/20261101T000000Z/disk0.zst zstd ${100 * MIB} ${'ab'.repeat(32)}`,
  `pack 2 disk0.pack.zst zstd 5000 ${'ab'.repeat(32)}`,
  `pack 3 ../20261121T081500Z/disk0.img none ${100 * MIB} ${'ab'.repeat(32)}`,
];
const SHA = '0123456789abcdef'.repeat(4);
const ENTRIES = ['zeros 8388608', `frame 4194304 ${SHA} 0 0 300000`, `patch 100 ${SHA} 2 4990 10 1 7 299000 4194304`];

function textOf(map: FrameMap, owner: MapOwner = OWNER): string {
  return Buffer.concat([...renderFrameMap(map, owner)]).toString();
}

function parse(text: string, plainBytes: number, chunkBytes = text.length, owner: MapOwner = OWNER): FrameMap {
  const parser = new FrameMapParser(owner, plainBytes);
  for (let at = 0; at < text.length; at += chunkBytes) parser.push(Buffer.from(text.slice(at, at + chunkBytes), 'latin1'));
  return parser.end();
}

function linesOf(entries: readonly string[], end: string): string {
  return [...HEADER, ...entries, end, ''].join('\n');
}

test('a map is text that a shell can read: its packs, a line for each frame, and an end', () => {
  const map = parse(linesOf(ENTRIES, 'end 3 12583012'), 12_583_012);
  const sha256 = Buffer.from(SHA, 'hex');
  expect([...map]).toEqual([
    { kind: 'zeros', start: 0, plainBytes: 8_388_608 },
    { kind: 'frame', start: 8_388_608, plainBytes: 4_194_304, sha256, place: { pack: 0, offset: 0, storedBytes: 300_000 } },
    {
      kind: 'patch',
      start: 12_582_912,
      plainBytes: 100,
      sha256,
      place: { pack: 2, offset: 4990, storedBytes: 10 },
      base: { pack: 1, offset: 7, storedBytes: 299_000, plainBytes: 4_194_304 },
    },
  ]);
  expect(textOf(map)).toBe(linesOf(ENTRIES, 'end 3 12583012'));
});

test('a byte of the disk is found in its entry', () => {
  const map = parse(linesOf(ENTRIES, 'end 3 12583012'), 12_583_012);
  expect([0, 8_388_607, 8_388_608, 12_582_911, 12_582_912, 12_583_011].map((offset) => map.indexAt(offset))).toEqual([0, 0, 1, 1, 2, 2]);
  expect([-1, 12_583_012, Number.NaN].map((offset) => map.indexAt(offset))).toEqual([undefined, undefined, undefined]);
});

test('the end says how large a disk is, if nothing else does', () => {
  const parser = new FrameMapParser(OWNER, undefined);
  parser.push(Buffer.from(linesOf(ENTRIES, 'end 3 12583012')));
  expect(parser.end().plainBytes).toBe(12_583_012);
  const lying = new FrameMapParser(OWNER, undefined);
  expect(() => lying.push(Buffer.from(linesOf(ENTRIES, 'end 3 12583013')))).toThrow('its end does not fit what comes before');
  const endless = new FrameMapParser(OWNER, undefined);
  const zeros = `zeros ${Number.MAX_SAFE_INTEGER}`;
  expect(() => endless.push(Buffer.from(linesOf([zeros, zeros], '')))).toThrow('it has more than the 9007199254740991 bytes of the disk');
});

test('a map of nothing but tiny entries is refused before it takes all memory', () => {
  const parser = new FrameMapParser(OWNER, 2 ** 40, 1000);
  const tiny = (count: number): Buffer => Buffer.from('zeros 1\n'.repeat(count));
  parser.push(Buffer.from(`${HEADER.join('\n')}\n`));
  parser.push(tiny(1000));
  expect(() => parser.push(tiny(1))).toThrow('it has more than 1000 entries');
});

type Whole = Omit<FrameInMap, 'kind'>;

function frameOf(whole: Whole): MapEntry {
  return { kind: 'frame', ...whole };
}

function patchOf(whole: Whole, { place, plainBytes }: Whole): MapEntry {
  return { kind: 'patch', ...whole, base: { ...place, pack: 0, plainBytes } };
}

describe('every map that is written is read back, however it arrives', () => {
  const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const frame = fc.integer({ min: 1, max: 64 * MIB }).chain((plainBytes) =>
    fc.record({
      plainBytes: fc.constant(plainBytes),
      sha256: digest,
      place: fc.record({
        pack: fc.constant(1),
        offset: fc.nat(50 * MIB),
        storedBytes: fc.integer({ min: 1, max: Math.min(plainBytes, 50 * MIB) }),
      }),
    }),
  );
  const entry: fc.Arbitrary<MapEntry> = fc.oneof(
    fc.record({ kind: fc.constant('zeros' as const), plainBytes: fc.integer({ min: 1, max: 2 ** 45 }) }),
    frame.map((whole) => frameOf(whole)),
    fc.tuple(frame, frame).map(([whole, other]) => patchOf(whole, other)),
  );
  test('in chunks of any size', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 50 }), fc.integer({ min: 1, max: 500 }), (entries, chunkBytes) => {
        const map = new FrameMap();
        for (const each of entries) map.push(each);
        const text = textOf(map);
        expect(textOf(parse(text, map.plainBytes, chunkBytes))).toBe(text);
      }),
    );
  });
});

describe('a map that lies is refused', () => {
  const good = linesOf(ENTRIES, 'end 3 12583012');
  const SIZE = 12_583_012;
  test.each<[string, string, RegExp]>([
    ['nothing', '', /ends early/],
    ['cut in the middle', good.slice(0, -20), /ends early/],
    ['without its end', good.replace(/end.*\n/, ''), /ends early/],
    ['with more after its end', `${good}zeros 1\n`, /something after its end/],
    ['of another version', good.replace('map 1', 'map 2'), /does not begin with/],
    ['with another pack', good.replace('../../template', '../../../etc'), /pack 1 that the manifest has/],
    ['with a frame beyond its pack', good.replace(' 0 0 300000', ' 0 0 300000000'), /entry 1 is outside of its pack/],
    ['with a frame in a pack that does not exist', good.replace(' 0 0 300000', ' 4 0 300000'), /entry 1 is outside of its pack/],
    ['with a frame of no stored bytes', good.replace(' 0 0 300000', ' 0 0 0'), /entry 1 is outside of its pack/],
    [
      'with more stored bytes than a frame can have',
      good.replace('frame 4194304', 'frame 250000'),
      /entry 1 has an impossible size: 300000 stored/,
    ],
    [
      'with more stored bytes than a base can have',
      good.replace('299000 4194304', '299000 200000'),
      /entry 2 has an impossible size: 299000 stored/,
    ],
    ['with a base beyond its pack', good.replace(' 1 7 299000', ' 1 7 999999999'), /entry 2 is outside of its pack/],
    ['with an absurd frame', good.replace('frame 4194304', 'frame 4194304000'), /entry 1 has an impossible size/],
    ['with an absurd base', good.replace('299000 4194304', '299000 999999999'), /entry 2 has an impossible size/],
    ['with a frame of no bytes', good.replace('frame 4194304', 'frame 0'), /entry 1 has an impossible size/],
    ['with no zeros', good.replace('zeros 8388608', 'zeros 0'), /entry 0 is not one/],
    ['with a negative number', good.replace('zeros 8388608', 'zeros -8'), /entry 0 has a number that is not valid/],
    ['with a number in another form', good.replace('zeros 8388608', 'zeros 8e6'), /entry 0 has a number that is not valid/],
    [
      'with a number beyond what is exact',
      good.replace('zeros 8388608', 'zeros 9007199254740993'),
      /entry 0 has a number that is not valid/,
    ],
    ['with another digest', good.replace(SHA, SHA.slice(1)), /entry 1 is not one/],
    ['with an unknown entry', good.replace('zeros 8', 'holes 8'), /entry 0 is not one/],
    ['with more than the disk', good.replace('zeros 8388608', 'zeros 9388608'), /more than the 12583012 bytes of the disk/],
    ['with less than the disk', good.replace('zeros 8388608', 'zeros 7388608').replace('12583012', '11583012'), /and the disk has/],
    ['with another end', good.replace('end 3', 'end 4'), /does not fit/],
    ['with an endless line', `${HEADER.join('\n')}\nzeros ${'1'.repeat(2000)}`, /a line has more than/],
    [
      'with a patch in a pack that is not compressed',
      good.replace(' 2 4990 10 ', ' 3 0 10 '),
      /entry 2 is a patch, which its pack cannot have/,
    ],
  ])('%s', (_what, text, message) => {
    const reading = (): FrameMap => parse(text, SIZE);
    expect(reading).toThrow(FrameMapProblem);
    expect(reading).toThrow(message);
  });
});
