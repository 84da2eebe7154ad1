import { createHash } from 'node:crypto';

import { ALL_VARIANTS } from '@gantry/testkit';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { decodeDump, decodeDumpByTable } from './decode-dump.ts';
import { FrameTable } from './frame-table.ts';
import { FrameIndex } from './random-access.ts';
import type { OpenRange } from './read-frames.ts';
import { encodeDump } from './encode-dump.ts';
import { MemoryBudget } from './memory-budget.ts';
import { collect, inChunks, overwritten, rangesOf, readerOf } from './testing/streams.ts';
import type { Codec } from './codecs/registry.ts';
import { CODEC_NAMES, codecNamed, isStoredPlain } from './codecs/registry.ts';
import type { PlainPiece } from './types.ts';

const { signal } = new AbortController();

const codecs = fc.constantFrom<Codec>('zstd', 'gzip', 'none');
const pieces = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.nat({ max: 2000 }).map((zeros) => ({ zeros })),
    fc.nat({ max: 300 }).map((length) => new Uint8Array(length)),
    fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 3000 })).map(([byte, length]) => new Uint8Array(length).fill(byte)),
  ),
  { maxLength: 12 },
);

test('data is decoded unchanged, for all chunk and frame sizes, and the summary is right', async () => {
  await fc.assert(
    fc.asyncProperty(
      codecs,
      pieces,
      fc.integer({ min: 1, max: 700 }),
      fc.integer({ min: 1, max: 900 }),
      fc.constantFrom(0, 4000, 1_000_000),
      fc.constantFrom(undefined, 1, 3),
      async (codec, pieces, frameSize, chunkSize, limit, concurrency) => {
        const plain = await collect(overwritten(pieces));
        const budget = new MemoryBudget(limit);
        const dump = encodeDump(readerOf(overwritten(pieces)), { codec, frameSize, budget, concurrency, signal });
        const stored = await collect(dump.stored);
        const summary = dump.summary();
        expect(summary).toMatchObject({ codec, frameSize, plainBytes: plain.length, storedBytes: stored.length });
        expect(summary.frames).toBe(plain.length === 0 && codec !== 'none' ? 1 : Math.ceil(plain.length / frameSize));
        expect(summary.sha256).toBe(createHash('sha256').update(stored).digest('hex'));

        const back = decodeDump(inChunks(stored, chunkSize), { codec, framed: summary, table: dump.table(), budget, concurrency, signal });
        expect((await collect(back)).equals(plain)).toBe(true);
        const ranges: [number, number][] = [];
        const open: OpenRange = (offset, length) => {
          ranges.push([offset, length]);
          return rangesOf(stored, chunkSize)(offset, length);
        };
        const byTable = decodeDumpByTable(open, { codec, framed: summary, table: dump.table(), budget, concurrency, signal });
        expect((await collect(byTable)).equals(plain)).toBe(true);
        for (const [offset, length] of ranges) expect(offset + length).toBeLessThanOrEqual(stored.length);
        expect(budget.usedBytes).toBe(0);
        // To the standard tools and the foreign reader, each frame is a file of its own.
        if (summary.frames > 30) return;
        const unknown = decodeDump(inChunks(stored, chunkSize), { codec, framed: undefined, signal });
        expect((await collect(unknown)).equals(plain)).toBe(true);
      },
    ),
    { numRuns: ALL_VARIANTS ? 300 : 120 },
  );
});

test('any frame can be read alone, in one range, for every byte of it', async () => {
  await fc.assert(
    fc.asyncProperty(
      codecs,
      pieces,
      fc.integer({ min: 1, max: 700 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (codec, pieces, frameSize, where) => {
        const plain = await collect(overwritten(pieces));
        const dump = encodeDump(readerOf(overwritten(pieces)), { codec, frameSize, signal });
        const stored = await collect(dump.stored);
        // The table survives its encoding.
        const table = FrameTable.decode(dump.table().encode());
        expect([...table]).toEqual([...dump.table()]);
        const index = new FrameIndex({ codec, framed: dump.summary(), table });
        let requests = 0;
        const open: OpenRange = (offset, length) => {
          requests += 1;
          return rangesOf(stored)(offset, length);
        };
        await expect(index.read(plain.length, open, { signal })).rejects.toThrow(RangeError);
        if (plain.length === 0) return;
        const at = Math.min(plain.length - 1, Math.floor(where * plain.length));
        const frame = await index.read(at, open, { signal });
        const expected = plain.subarray(frame.start, frame.start + frameSize);
        expect(frame.start).toBe(at - (at % frameSize));
        expect(frame.plain instanceof Uint8Array ? expected.equals(frame.plain) : expected.equals(Buffer.alloc(frame.plain.zeros))).toBe(
          true,
        );
        expect(requests).toBe(frame.plain instanceof Uint8Array ? 1 : 0);
      },
    ),
    { numRuns: ALL_VARIANTS ? 200 : 80 },
  );
});

test('long runs of zeros are not read, short ones between data need no additional request', async () => {
  for (const [zeros, requests] of [
    [100_000, 1],
    [40_000_000, 2],
  ] as const) {
    const dump = encodeDump(readerOf(overwritten([Buffer.from('x'), { zeros }, Buffer.from('y')])), {
      codec: 'none',
      frameSize: 4096,
      signal,
    });
    const stored = await collect(dump.stored);
    let read = 0;
    let opened = 0;
    const open: OpenRange = (offset, length) => {
      opened += 1;
      read += length;
      return rangesOf(stored, 65_536)(offset, length);
    };
    const back = decodeDumpByTable(open, { codec: 'none', framed: dump.summary(), table: dump.table(), signal });
    let plainBytes = 0;
    for await (const piece of back) plainBytes += piece instanceof Uint8Array ? piece.length : piece.zeros;
    expect(plainBytes).toBe(zeros + 2);
    expect(opened).toBe(requests);
    if (requests === 2) expect(read).toBeLessThanOrEqual(2 * 4096);
  }
});

async function encode(pieces: readonly PlainPiece[], codec: Codec, level?: number): Promise<Buffer> {
  return collect(encodeDump(readerOf(overwritten(pieces)), { codec, level, frameSize: 1000, signal }).stored);
}

describe.each(CODEC_NAMES.filter((name) => !isStoredPlain(name)))('%s', (codec) => {
  test('the same data gives the same dump, if zeros are holes, bytes or both', async () => {
    const text = Buffer.from('the same data '.repeat(500));
    const once = await encode([text, { zeros: 5500 }, text], codec);
    const again = await encode([text.subarray(0, 77), text.subarray(77), new Uint8Array(1234), { zeros: 4266 }, text], codec);
    expect(again.equals(once)).toBe(true);
  });

  test('every level makes a dump that decodes to the same data', async () => {
    const levels = codecNamed(codec).levels;
    const plain = Buffer.from(Array.from({ length: 5000 }, (_, index) => Math.floor(Math.sqrt(index)) % 256));
    for (let level = levels?.lowest ?? 0; level <= (levels?.highest ?? -1); level += 1) {
      const dump = encodeDump(readerOf(overwritten([plain])), { codec, level, frameSize: 2000, signal });
      const stored = await collect(dump.stored);
      expect(dump.summary().level).toBe(level);
      expect(
        (await collect(decodeDump(inChunks(stored, 999), { codec, framed: dump.summary(), table: dump.table(), signal }))).equals(plain),
      ).toBe(true);
    }
  });

  test('frames of zeros are decoded as holes, also a shorter one at the end', async () => {
    const dump = encodeDump(readerOf(overwritten([{ zeros: 100_000 }, Buffer.from('x'), { zeros: 50_123 }])), {
      codec,
      frameSize: 4096,
      signal,
    });
    const stored = await collect(dump.stored);
    const lengths: [string, number][] = [];
    for await (const piece of decodeDump(inChunks(stored, 64), { codec, framed: dump.summary(), table: dump.table(), signal })) {
      lengths.push(piece instanceof Uint8Array ? ['bytes', piece.length] : ['zeros', piece.zeros]);
    }
    expect(lengths.filter(([kind]) => kind === 'bytes')).toEqual([['bytes', 4096]]);
    expect(lengths.reduce((sum, [, bytes]) => sum + bytes, 0)).toBe(150_124);
  });
});

test.each([
  ['zstd', 0],
  ['zstd', 20],
  ['zstd', 2.5],
  ['gzip', 10],
  ['gzip', Number.NaN],
  ['none', 1],
] as const)('%s has no level %d', (codec, level) => {
  expect(() => encodeDump(readerOf(overwritten([])), { codec, level, signal })).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test.each([0, -1, 1.5, 64 * 1024 * 1024 + 1])('a frame cannot have %d bytes', (frameSize) => {
  expect(() => encodeDump(readerOf(overwritten([])), { codec: 'zstd', frameSize, signal })).toThrow(
    expect.objectContaining({ code: 'USAGE' }),
  );
});

test('a dump has no summary before its end', async () => {
  const dump = encodeDump(readerOf(overwritten([Buffer.from('data')])), { codec: 'zstd', signal });
  expect(() => dump.summary()).toThrow('before its end');
  await collect(dump.stored);
  expect(dump.summary().plainBytes).toBe(4);
});
