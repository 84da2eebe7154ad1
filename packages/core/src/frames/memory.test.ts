import { readerOf } from './testing/streams.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { ALL_VARIANTS, makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { encodeDump } from './encode-dump.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { Codec } from './codecs/registry.ts';
import type { PlainPiece } from './types.ts';

const MiB = 1024 * 1024;
/** The limit of 200 MiB leaves 66: a tenth of two disks of 320 MiB, if it was kept, would be above it, and 3 % of two of 1 GiB. */
const MIB_OF_DISKS = ALL_VARIANTS ? 1024 : 320;
const run = promisify(execFile);
const { signal } = new AbortController();

test.each<[Codec, number, number]>([
  ['zstd', MIB_OF_DISKS, 200],
  // Node's zlib module allocates its own memory for the output.
  ['gzip', 192, 260],
  ['none', MIB_OF_DISKS, 200],
])('%s: two disks of %d MiB at once take less than %d MiB of memory', async (codec, mebibytes, limit) => {
  await using directory = await makeTemporaryDirectory();
  const program = [`${import.meta.dirname}/testing/two-large-disks.ts`, codec, String(mebibytes), directory.path];
  const { stdout } = await run(process.execPath, ['--conditions=@gantry/source', ...program]);
  // Node itself needs about 70 MiB, the frames have 64.
  expect(Number(stdout)).toBeGreaterThan(30 * MiB);
  expect(Number(stdout)).toBeLessThan(limit * MiB);
});

describe('a memory budget', () => {
  test('does not exceed its limit, and continues when a buffer is released', async () => {
    const budget = new MemoryBudget(250);
    const share = budget.share();
    const first = await share.acquire(100, signal);
    await share.acquire(100, signal);
    let third: Uint8Array | undefined;
    const acquiring = share.acquire(100, signal).then((buffer) => (third = buffer));
    await new Promise(setImmediate);
    expect(third).toBeUndefined();
    expect(budget.usedBytes).toBe(200);
    share.release(first);
    // It reuses the memory, without page faults.
    expect(await acquiring).toBe(first);
  });

  test('gives every share one buffer, even if others use the complete budget', async () => {
    const budget = new MemoryBudget(250);
    const [greedy, modest] = [budget.share(), budget.share()];
    await greedy.acquire(100, signal);
    await greedy.acquire(100, signal);
    const stop = new AbortController();
    const waiting = greedy.acquire(100, stop.signal);
    expect((await modest.acquire(100, signal)).length).toBe(100);
    expect(budget.usedBytes).toBe(300);
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  test('grants requests in order: a small one does not overtake a large one', async () => {
    const budget = new MemoryBudget(100);
    const [a, b] = [budget.share(), budget.share()];
    const held = await a.acquire(60, signal);
    const other = await b.acquire(30, signal);
    const order: string[] = [];
    const large = a.acquire(50, signal).then(() => order.push('large'));
    const small = b.acquire(10, signal).then(() => order.push('small'));
    await new Promise(setImmediate);
    expect(order).toEqual([]);
    a.release(held);
    await Promise.all([large, small]);
    expect(order).toEqual(['large', 'small']);
    b.release(other);
  });

  test('drops requests that were cancelled', async () => {
    const budget = new MemoryBudget(100);
    const share = budget.share();
    const held = await share.acquire(100, signal);
    const stop = new AbortController();
    const waiting = share.acquire(100, stop.signal);
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    share.release(held);
    expect(budget.usedBytes).toBe(0);
    expect((await share.acquire(100, signal)).length).toBe(100);
  });
});

test('a consumer that stops reading stops the source', async () => {
  let yielded = 0;
  const endless = (async function* (): AsyncGenerator<PlainPiece, void, undefined> {
    const memory = Buffer.alloc(1000, 'data');
    for (;;) {
      await Promise.resolve();
      yielded += 1;
      yield memory;
    }
  })();
  const dump = encodeDump(readerOf(endless), { codec: 'zstd', frameSize: 1000, concurrency: 2, signal });
  const stored = dump.stored[Symbol.asyncIterator]();
  await stored.next();
  let before = -1;
  for (; before !== yielded; await new Promise((resolve) => setTimeout(resolve, 50))) before = yielded;
  expect(yielded).toBeLessThan(20);
  await stored.return?.();
});
