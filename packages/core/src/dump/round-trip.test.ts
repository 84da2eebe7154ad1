import { createHash } from 'node:crypto';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { decodeDump } from './decode-dump.ts';
import { encodeDump } from './encode-dump.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { Codec, DumpSummary, PlainPiece } from './types.ts';

const codec = fc.constantFrom<Codec>('zstd', 'gzip', 'none');
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.nat({ max: 2000 }).map((zeros) => ({ zeros })),
  fc.nat({ max: 300 }).map((length) => new Uint8Array(length)),
);

/** One memory for all pieces, filled again as soon as the next is asked for, as a giver may. */
async function* lent(pieces: readonly PlainPiece[]): AsyncGenerator<PlainPiece> {
  const memory = Buffer.alloc(512);
  for (const one of pieces) {
    await Promise.resolve();
    if (one instanceof Uint8Array) {
      memory.fill(0xee);
      memory.set(one);
      yield memory.subarray(0, one.length);
      memory.fill(0xdd);
    } else yield one;
  }
}

async function collect(chunks: AsyncIterable<PlainPiece>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk instanceof Uint8Array ? Buffer.from(chunk) : Buffer.alloc(chunk.zeros));
  return Buffer.concat(all);
}

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(size);
  for (let start = 0; start < bytes.length; start += size) {
    await Promise.resolve();
    const part = bytes.subarray(start, start + size);
    memory.set(part);
    yield memory.subarray(0, part.length);
    memory.fill(0xcc);
  }
}

async function encode(
  pieces: readonly PlainPiece[],
  o: { codec: Codec; frameSize: number; budget?: MemoryBudget },
): Promise<[Buffer, DumpSummary]> {
  const { signal } = new AbortController();
  const dump = encodeDump(lent(pieces), { ...o, signal });
  const stored = await collect(dump.stored);
  return [stored, dump.summary()];
}

test('what goes in comes out, however it is cut, and all that the summary says is so', async () => {
  await fc.assert(
    fc.asyncProperty(
      codec,
      fc.array(piece, { maxLength: 12 }),
      fc.integer({ min: 1, max: 700 }),
      fc.integer({ min: 1, max: 900 }),
      fc.constantFrom(0, 4000, 1_000_000),
      async (codec, pieces, frameSize, chunkSize, limit) => {
        const plain = await collect(lent(pieces));
        const budget = new MemoryBudget(limit);
        const [stored, summary] = await encode(pieces, { codec, frameSize, budget });
        expect(summary).toMatchObject({ codec, frameSize, plainBytes: plain.length, storedBytes: stored.length });
        expect(summary.frames).toBe(plain.length === 0 && codec !== 'none' ? 1 : Math.ceil(plain.length / frameSize));
        expect(summary.sha256).toBe(createHash('sha256').update(stored).digest('hex'));
        const { signal } = new AbortController();
        const back = await collect(decodeDump(inChunks(stored, chunkSize), { codec, framed: summary, budget, signal }));
        expect(back.equals(plain)).toBe(true);
        expect(budget.lentBytes).toBe(0);
      },
    ),
    { numRuns: 300 },
  );
});
