import { setTimeout as wait } from 'node:timers/promises';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { decodeDump } from './decode-dump.ts';
import { encodeDump } from './encode-dump.ts';
import { MemoryBudget } from './memory-budget.ts';
import { collect, inChunks, overwritten, readerOf } from './testing/streams.ts';
import type { Codec } from './codecs/registry.ts';
import { CODEC_NAMES } from './codecs/registry.ts';
import type { PlainReader } from './plain-reader.ts';
import type { FrameTable } from './frame-table.ts';
import type { DumpSummary, PlainPiece } from './types.ts';

const never = new AbortController().signal;
const PLAIN = Buffer.from('a line of a disk with different bytes: 0123456789\n'.repeat(2000));
const FRAME = 5000;

async function dumpOf(codec: Codec): Promise<{ stored: Buffer; framed: DumpSummary; table: FrameTable }> {
  const dump = encodeDump(readerOf(overwritten([PLAIN])), { codec, frameSize: FRAME, signal: never });
  const stored = await collect(dump.stored);
  return { stored, framed: dump.summary(), table: dump.table() };
}

/** Yields `bytes`, then never ends. `closed` resolves when it is closed. */
function stuck(bytes: Buffer, chunkSize: number): { source: AsyncIterable<Uint8Array>; closed: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let at = 0;
  const source: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        if (at >= bytes.length) return new Promise(() => undefined);
        const value = bytes.subarray(at, at + chunkSize);
        at += chunkSize;
        return Promise.resolve({ done: false, value });
      },
      return: () => {
        resolve();
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  return { source, closed: promise };
}

describe.each(CODEC_NAMES)('%s', (codec) => {
  test('encoding ends with the reason of the signal while it reads, and releases its memory', async () => {
    const stop = new AbortController();
    const budget = new MemoryBudget(100_000);
    const { source } = stuck(PLAIN, 777);
    const dump = encodeDump(readerOf(source), { codec, frameSize: FRAME, budget, signal: stop.signal });
    const consuming = (async () => {
      for await (const chunk of dump.stored) if (chunk.length > 0) setImmediate(() => stop.abort(new Error('no more')));
    })();
    await expect(consuming).rejects.toThrow('no more');
    expect(() => dump.summary()).toThrow('before its end');
    await expect.poll(() => budget.usedBytes).toBe(0);
  });

  test('encoding that is abandoned releases its memory', async () => {
    const budget = new MemoryBudget(100_000);
    const { source } = stuck(PLAIN, 777);
    for await (const _ of encodeDump(readerOf(source), { codec, frameSize: FRAME, budget, signal: never }).stored) break;
    await expect.poll(() => budget.usedBytes).toBe(0);
  });

  test('memory that a reader may still write to is not reused', async () => {
    const stop = new AbortController();
    const budget = new MemoryBudget(100_000);
    const given: Uint8Array[] = [];
    const source: PlainReader = {
      read: (output) => {
        given.push(output);
        stop.abort(new Error('no more'));
        return new Promise(() => undefined);
      },
    };
    const dump = encodeDump(source, { codec, frameSize: FRAME, budget, signal: stop.signal });
    await expect(collect(dump.stored)).rejects.toThrow('no more');
    expect(budget.usedBytes).toBe(0);
    const [output] = given;
    const next = await budget.share().acquire(output?.buffer.byteLength ?? 0, never);
    expect(next.buffer).not.toBe(output?.buffer);
  });

  test.each(['framed', 'foreign'])('decoding (%s) ends with the reason of the signal, also in the middle of a dump', async (kind) => {
    const { stored, framed, table } = await dumpOf(codec);
    const stop = new AbortController();
    const budget = new MemoryBudget(100_000);
    const { source, closed } = stuck(stored.subarray(0, Math.floor(stored.length / 2)), 100);
    const pieces = decodeDump(source, { codec, framed: kind === 'framed' ? framed : undefined, table, budget, signal: stop.signal });
    const consuming = (async () => {
      for await (const piece of pieces) if (piece) setImmediate(() => stop.abort(new Error('no more')));
    })();
    await expect(consuming).rejects.toThrow('no more');
    await closed;
    await expect.poll(() => budget.usedBytes).toBe(0);
  });

  test.each(['framed', 'foreign'])('decoding (%s) that is abandoned closes its source', async (kind) => {
    const { stored, framed, table } = await dumpOf(codec);
    const budget = new MemoryBudget(100_000);
    const { source, closed } = stuck(stored.subarray(0, Math.floor(stored.length / 2)), 100);
    for await (const _ of decodeDump(source, { codec, framed: kind === 'framed' ? framed : undefined, table, budget, signal: never }))
      break;
    await closed;
    await expect.poll(() => budget.usedBytes).toBe(0);
  });

  test('an aborted signal is noticed before anything is read', async () => {
    let isRead = false;
    const source = (async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      isRead = true;
      yield await Promise.resolve(PLAIN);
    })();
    const signal = AbortSignal.abort(new Error('too late'));
    await expect(collect(encodeDump(readerOf(source), { codec, signal }).stored)).rejects.toThrow('too late');
    const { framed, table } = await dumpOf(codec);
    await expect(collect(decodeDump(source, { codec, framed, table, signal }))).rejects.toThrow('too late');
    await expect(collect(decodeDump(source, { codec, framed: undefined, signal }))).rejects.toThrow('too late');
    expect(isRead).toBe(false);
  });

  test('errors of the source are thrown unchanged, after the data before them', async () => {
    const failure = new Error('the script failed');
    async function* failing<T extends PlainPiece>(pieces: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
      yield* pieces;
      throw failure;
    }
    const { stored, framed, table } = await dumpOf(codec);
    const dump = encodeDump(readerOf(failing(overwritten([PLAIN]))), { codec, frameSize: FRAME, signal: never });
    await expect(collect(dump.stored)).rejects.toBe(failure);
    expect(() => dump.summary()).toThrow('before its end');
    for (const known of [framed, undefined]) {
      const cut = failing(inChunks(stored.subarray(0, stored.length - 3), 100));
      await expect(collect(decodeDump(cut, { codec, framed: known, table, signal: never }))).rejects.toBe(failure);
    }
  });
});

test.each([
  ['zstd', zstdCompressSync(Buffer.alloc(50_000_000))],
  ['gzip', gzipSync(Buffer.alloc(50_000_000))],
] as const)('a small foreign %s dump with much data is decompressed only as fast as it is consumed', async (codec, stored) => {
  const stop = new AbortController();
  const pieces = decodeDump(inChunks(stored, stored.length), { codec, framed: undefined, signal: stop.signal })[Symbol.asyncIterator]();
  await pieces.next();
  const before = process.memoryUsage().rss;
  await wait(200);
  expect(process.memoryUsage().rss - before).toBeLessThan(20_000_000);
  stop.abort(new Error('enough'));
  await expect(pieces.next()).rejects.toThrow('enough');
});
