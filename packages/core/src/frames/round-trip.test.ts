import { createHash } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { decodeDump } from './decode-dump.ts';
import { encodeDump } from './encode-dump.ts';
import { MemoryBudget } from './memory-budget.ts';
import { collect, inChunks, lent } from './testing/streams.ts';
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

test('what goes in comes out, however it is cut, and all that the summary says is so', async () => {
  await fc.assert(
    fc.asyncProperty(
      codecs,
      pieces,
      fc.integer({ min: 1, max: 700 }),
      fc.integer({ min: 1, max: 900 }),
      fc.constantFrom(0, 4000, 1_000_000),
      fc.constantFrom(undefined, 1, 3),
      async (codec, pieces, frameSize, chunkSize, limit, concurrency) => {
        const plain = await collect(lent(pieces));
        const budget = new MemoryBudget(limit);
        const dump = encodeDump(lent(pieces), { codec, frameSize, budget, concurrency, signal });
        const stored = await collect(dump.stored);
        const summary = dump.summary();
        expect(summary).toMatchObject({ codec, frameSize, plainBytes: plain.length, storedBytes: stored.length });
        expect(summary.frames).toBe(plain.length === 0 && codec !== 'none' ? 1 : Math.ceil(plain.length / frameSize));
        expect(summary.sha256).toBe(createHash('sha256').update(stored).digest('hex'));

        const back = decodeDump(inChunks(stored, chunkSize), { codec, framed: summary, budget, concurrency, signal });
        expect((await collect(back)).equals(plain)).toBe(true);
        expect(budget.lentBytes).toBe(0);
        // Each frame is a file of its own to the ordinary tools, and to this reader.
        if (summary.frames > 30) return;
        const unknown = decodeDump(inChunks(stored, chunkSize), { codec, framed: undefined, signal });
        expect((await collect(unknown)).equals(plain)).toBe(true);
      },
    ),
    { numRuns: 300 },
  );
});

async function encode(pieces: readonly PlainPiece[], codec: Codec, level?: number): Promise<Buffer> {
  return collect(encodeDump(lent(pieces), { codec, level, frameSize: 1000, signal }).stored);
}

describe.each(CODEC_NAMES.filter((name) => !isStoredPlain(name)))('%s', (codec) => {
  test('the same data makes the same dump, whether zeros come as holes, as bytes or both', async () => {
    const text = Buffer.from('the same data '.repeat(500));
    const once = await encode([text, { zeros: 5500 }, text], codec);
    const again = await encode([text.subarray(0, 77), text.subarray(77), new Uint8Array(1234), { zeros: 4266 }, text], codec);
    expect(again.equals(once)).toBe(true);
  });

  test('every level that there is makes a dump that reads the same', async () => {
    const levels = codecNamed(codec).compression?.levels;
    const plain = Buffer.from(Array.from({ length: 5000 }, (_, index) => Math.floor(Math.sqrt(index)) % 256));
    for (let level = levels?.lowest ?? 0; level <= (levels?.highest ?? -1); level += 1) {
      const dump = encodeDump(lent([plain]), { codec, level, frameSize: 2000, signal });
      const stored = await collect(dump.stored);
      expect(dump.summary().level).toBe(level);
      expect((await collect(decodeDump(inChunks(stored, 999), { codec, framed: dump.summary(), signal }))).equals(plain)).toBe(true);
    }
  });

  test('frames of zeros come out as holes, with one frame size and another at the end', async () => {
    const dump = encodeDump(lent([{ zeros: 100_000 }, Buffer.from('x'), { zeros: 50_123 }]), { codec, frameSize: 4096, signal });
    const stored = await collect(dump.stored);
    const lengths: [string, number][] = [];
    for await (const piece of decodeDump(inChunks(stored, 64), { codec, framed: dump.summary(), signal })) {
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
  expect(() => encodeDump(lent([]), { codec, level, signal })).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test.each([0, -1, 1.5, 64 * 1024 * 1024 + 1])('a frame cannot have %d bytes', (frameSize) => {
  expect(() => encodeDump(lent([]), { codec: 'zstd', frameSize, signal })).toThrow(expect.objectContaining({ code: 'USAGE' }));
});

test('a dump has no summary before its end', async () => {
  const dump = encodeDump(lent([Buffer.from('data')]), { codec: 'zstd', signal });
  expect(() => dump.summary()).toThrow('no summary');
  await collect(dump.stored);
  expect(dump.summary().plainBytes).toBe(4);
});
