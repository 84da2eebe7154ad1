import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { pseudoRandom } from '@gantry/testkit';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CutSizes } from './content-cutter.ts';
import { CONTENT_CUT, ContentCutter, GEAR } from './content-cutter.ts';
import { ContentFramer } from './content-framer.ts';
import { MemoryBudget } from './memory-budget.ts';
import { collect, overwritten, readerOf } from './testing/streams.ts';
import type { PlainPiece } from './types.ts';

const { signal } = new AbortController();
const KiB = 1024;
const MiB = 1024 * KiB;
const SMALL: CutSizes = { min: 64, normal: 256, max: 1024 };

/** Where the frames of `bytes` end, by the words of docs/reference/formats/content-cuts.md. */
function endsBySpecification(bytes: Uint8Array, { min, normal, max }: CutSizes): number[] {
  const ends: number[] = [];
  const bits = Math.log2(normal);
  let start = 0;
  for (let end = 1; end <= bytes.length; end += 1) {
    const length = end - start;
    if (length < min) continue;
    let sum = 0n;
    for (let age = 0; age < 32; age += 1) sum += BigInt((GEAR[bytes[end - 1 - age] ?? 0] ?? 0) >>> 0) << BigInt(age);
    const highest = (sum % 2n ** 32n) >> BigInt(32 - (length < normal ? bits + 2 : bits - 2));
    if (highest !== 0n && length < max) continue;
    ends.push(end);
    start = end;
  }
  return ends.at(-1) === bytes.length ? ends : [...ends, bytes.length];
}

/** Where the cutter ends the frames, given the bytes in pieces of these sizes, in turn. */
function endsOf(bytes: Uint8Array, sizes: CutSizes = CONTENT_CUT, pieces: readonly number[] = [64 * KiB]): number[] {
  const cutter = new ContentCutter(sizes);
  const ends: number[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const piece = bytes.subarray(at, at + (pieces[turn % pieces.length] ?? 1));
    for (let used = 0; used < piece.length;) {
      const end = cutter.next(piece.subarray(used));
      used += end ?? piece.length - used;
      if (end !== undefined) ends.push(at + used);
    }
    at += piece.length;
  }
  return ends.at(-1) === bytes.length ? ends : [...ends, bytes.length];
}

/** The stream by which the page lets others check their implementations. */
function knownStream(bytes: number): Buffer {
  const digests = Array.from({ length: bytes / 32 }, (_, number) => hash('sha256', String(number), 'buffer'));
  return Buffer.concat(digests);
}

const random = (seed: string, bytes: number): Buffer => Buffer.concat([...pseudoRandom(seed, bytes)]);
/** With runs, as real data has. */
const contents = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 900 }),
    fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 2500 })).map(([byte, length]) => new Uint8Array(length).fill(byte)),
    fc.tuple(fc.string({ maxLength: 4 }), fc.nat({ max: 3000 })).map(([seed, length]) => random(seed, length)),
  ),
  { maxLength: 6 },
);
const sizes = fc.constantFrom<CutSizes>(SMALL, { min: 32, normal: 64, max: 64 }, { min: 100, normal: 128, max: 5000 });

test('frames end where the specification says, and do not depend on the pieces in which the stream comes', () => {
  fc.assert(
    fc.property(contents, sizes, fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1 }), (parts, sizes, pieces) => {
      const bytes = Buffer.concat(parts);
      if (bytes.length > 0) expect(endsOf(bytes, sizes, pieces)).toEqual(endsBySpecification(bytes, sizes));
    }),
    { numRuns: 60 },
  );
});

test('after an insertion, a removal or a change, the frames are soon the same again', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.nat({ max: 4000 }),
      fc.nat({ max: 300 }),
      fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      (seed, at, gone, inserted) => {
        const before = random(seed, 60_000);
        const after = Buffer.concat([before.subarray(0, at), inserted, before.subarray(at + gone)]);
        const shift = inserted.length - gone;
        const were = new Set(endsOf(before, SMALL));
        const moved = endsOf(after, SMALL).map((end) => end - shift);
        const first = moved.findIndex((end) => end >= at + gone && were.has(end));
        expect(first).toBeGreaterThanOrEqual(0);
        // All cuts after the first common one are common, and that one is not far: some 20 frames at the most.
        expect(moved.slice(first).every((end) => were.has(end))).toBe(true);
        expect((moved[first] ?? Infinity) - at - gone).toBeLessThan(20 * SMALL.normal);
      },
    ),
  );
});

test('the framer gives the same frames, and zeros without memory, however the stream comes', async () => {
  const streams = fc.array(
    fc.oneof(
      contents,
      fc.nat({ max: 4000 }).map((zeros) => [{ zeros }]),
    ),
    { maxLength: 4 },
  );
  await fc.assert(
    fc.asyncProperty(streams, sizes, fc.constantFrom(0, 100_000), async (parts, sizes, limit) => {
      const pieces: PlainPiece[] = parts.flat().filter((piece) => !('zeros' in piece) || piece.zeros > 0);
      const bytes = await collect(overwritten(pieces));
      const budget = new MemoryBudget(limit);
      const memory = budget.share();
      const framer = new ContentFramer(sizes.max, memory, signal, sizes);
      const ends: number[] = [];
      let at = 0;
      for await (const frame of framer.frames(readerOf(overwritten(pieces)))) {
        const count = 'count' in frame ? frame.count : 1;
        for (let each = 0; each < count; each += 1) {
          const plain = 'count' in frame ? Buffer.alloc(frame.plainBytes) : frame.buffer.subarray(0, frame.plainBytes);
          expect(bytes.subarray(at, at + frame.plainBytes).equals(plain)).toBe(true);
          expect('count' in frame).toBe(plain.every((byte) => byte === 0));
          at += frame.plainBytes;
          ends.push(at);
        }
        if ('buffer' in frame) memory.release(frame.buffer);
      }
      expect(at).toBe(bytes.length);
      if (bytes.length > 0) expect(ends).toEqual(endsOf(bytes, sizes));
      expect(budget.usedBytes).toBe(0);
    }),
  );
});

test('a run of any byte is cut only at the largest size: holes need not be looked at', () => {
  for (let byte = 0; byte < 256; byte += 1) {
    const run = Buffer.alloc(100_000, byte);
    const cut = { min: 32, normal: 32 * KiB, max: 64 * KiB };
    expect(endsOf(run, cut)).toEqual([64 * KiB, 100_000]);
  }
  expect((-(GEAR[0] ?? 0) >>> 31) & 1).toBe(1);
});

test('the table, the sizes and the cuts of a known stream stay as they are', async () => {
  expect(hash('sha256', GEAR.join(' '))).toBe('70069868f2bb71cdbf59563e80b8af7c081b5af4ae5de2064a4bca1c30d845c4');
  expect(CONTENT_CUT).toEqual({ min: 256 * KiB, normal: 512 * KiB, max: 4 * MiB });
  const ends = endsOf(knownStream(4 * MiB));
  expect(ends).toEqual([357_600, 1_057_750, 1_697_954, 2_487_246, 3_041_639, 3_517_469, 4_042_456, 4_194_304]);
  const page = await readFile(new URL('../../../../docs/reference/formats/content-cuts.md', import.meta.url), 'utf8');
  const words = [
    '262,144',
    '524,288',
    '4,194,304',
    (GEAR[0] ?? 0).toString(16),
    ...ends.slice(0, -1).map((end) => end.toLocaleString('en')),
  ];
  for (const word of words) expect(page).toContain(word);
});

test('frames of random data are as large as planned', () => {
  const ends = endsOf(random('sizes', 64 * MiB));
  const lengths = ends.map((end, index) => end - (ends[index - 1] ?? 0)).slice(0, -1);
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(CONTENT_CUT.min);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(CONTENT_CUT.max);
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  expect(mean).toBeGreaterThan(0.55 * MiB);
  expect(mean).toBeLessThan(0.7 * MiB);
});
