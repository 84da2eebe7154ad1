import { readerOf } from './testing/streams.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { encodeDump } from './encode-dump.ts';
import { MemoryBudget } from './memory-budget.ts';
import type { Codec } from './codecs/registry.ts';
import type { PlainPiece } from './types.ts';

const MiB = 1024 * 1024;
const run = promisify(execFile);
const { signal } = new AbortController();

test.each<[Codec, number, number]>([
  ['zstd', 1024, 200],
  // Node's zlib module has memory of its own for what comes out.
  ['gzip', 192, 260],
  ['none', 1024, 200],
])('%s: two disks of %d MiB at once take less than %d MiB of memory', async (codec, mebibytes, limit) => {
  await using directory = await makeTemporaryDirectory();
  const program = [`${import.meta.dirname}/testing/two-large-disks.ts`, codec, String(mebibytes), directory.path];
  const { stdout } = await run(process.execPath, ['--conditions=@gantry/source', ...program]);
  // Node itself takes some 70 MiB, the frames have 64.
  expect(Number(stdout)).toBeGreaterThan(30 * MiB);
  expect(Number(stdout)).toBeLessThan(limit * MiB);
});

describe('a memory budget', () => {
  test('lends no more than it has, and goes on when something comes back', async () => {
    const budget = new MemoryBudget(250);
    const share = budget.share();
    const first = await share.take(100, signal);
    await share.take(100, signal);
    let third: Uint8Array | undefined;
    const taking = share.take(100, signal).then((buffer) => (third = buffer));
    await new Promise(setImmediate);
    expect(third).toBeUndefined();
    expect(budget.lentBytes).toBe(200);
    share.giveBack(first);
    // The same memory, without a page fault.
    expect(await taking).toBe(first);
  });

  test('gives everybody one buffer, whatever the others hold', async () => {
    const budget = new MemoryBudget(250);
    const [greedy, modest] = [budget.share(), budget.share()];
    await greedy.take(100, signal);
    await greedy.take(100, signal);
    const stop = new AbortController();
    const waiting = greedy.take(100, stop.signal);
    expect((await modest.take(100, signal)).length).toBe(100);
    expect(budget.lentBytes).toBe(300);
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  test('goes in turn: who asks for little does not pass who waits for much', async () => {
    const budget = new MemoryBudget(100);
    const [a, b] = [budget.share(), budget.share()];
    const held = await a.take(60, signal);
    const other = await b.take(30, signal);
    const order: string[] = [];
    const much = a.take(50, signal).then(() => order.push('much'));
    const little = b.take(10, signal).then(() => order.push('little'));
    await new Promise(setImmediate);
    expect(order).toEqual([]);
    a.giveBack(held);
    await Promise.all([much, little]);
    expect(order).toEqual(['much', 'little']);
    b.giveBack(other);
  });

  test('forgets who no longer waits', async () => {
    const budget = new MemoryBudget(100);
    const share = budget.share();
    const held = await share.take(100, signal);
    const stop = new AbortController();
    const waiting = share.take(100, stop.signal);
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    share.giveBack(held);
    expect(budget.lentBytes).toBe(0);
    expect((await share.take(100, signal)).length).toBe(100);
  });
});

test('a taker that does not take stops the giver', async () => {
  let given = 0;
  const endless = (async function* (): AsyncGenerator<PlainPiece, void, undefined> {
    const memory = Buffer.alloc(1000, 'data');
    for (;;) {
      await Promise.resolve();
      given += 1;
      yield memory;
    }
  })();
  const dump = encodeDump(readerOf(endless), { codec: 'zstd', frameSize: 1000, concurrency: 2, signal });
  const stored = dump.stored[Symbol.asyncIterator]();
  await stored.next();
  let before = -1;
  for (; before !== given; await new Promise((resolve) => setTimeout(resolve, 50))) before = given;
  expect(given).toBeLessThan(20);
  await stored.return?.();
});
