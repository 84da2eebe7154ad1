import { describe, expect, test } from 'vitest';
import { pieces, put, textOf } from '../test/objects.ts';
import { storeConformance } from './conformance/index.ts';
import type { LimitOptions, Rate } from './limit.ts';
import { withLimit } from './limit.ts';
import { Memory, MemoryStore } from './testing/index.ts';

/** A clock that advances only during waits. */
class Clock {
  ms = 1000;

  limit(bytesPerSecond: Rate): LimitOptions {
    return {
      bytesPerSecond,
      now: () => this.ms,
      pause: async (ms, signal) => {
        signal?.throwIfAborted();
        this.ms += ms;
      },
    };
  }
}

test('writing is limited', async () => {
  const clock = new Clock();
  await using pending = await withLimit(new MemoryStore(), clock.limit(1000)).begin('a');
  await pending.append(pieces('x'.repeat(500), 'x'.repeat(2000), 'x'));
  expect(clock.ms).toBe(1000 + 2500);
});

test('reading is limited', async () => {
  const clock = new Clock();
  const memory = new MemoryStore();
  await put(memory, 'a', 'x'.repeat(200_000));
  expect(await textOf(await withLimit(memory, clock.limit(65_536)).read('a'))).toHaveLength(200_000);
  // The last of its chunks of 64 KiB comes when the three before it have had their second each.
  expect(clock.ms).toBe(1000 + 3000);
});

test('reading and writing share one rate', async () => {
  const clock = new Clock();
  const memory = new MemoryStore();
  await put(memory, 'a', 'x'.repeat(1000));
  const store = withLimit(memory, clock.limit(1000));
  await textOf(await store.read('a'));
  await using pending = await store.begin('b');
  await pending.append(pieces('x'));
  expect(clock.ms).toBe(1000 + 1000);
});

test('unused time is not accumulated', async () => {
  const clock = new Clock();
  await using pending = await withLimit(new MemoryStore(), clock.limit(1000)).begin('a');
  await pending.append(pieces('x'));
  clock.ms += 60_000;
  const before = clock.ms;
  await pending.append(pieces('x'.repeat(1000), 'x'.repeat(1000), 'x'));
  expect(clock.ms - before).toBe(2000);
});

test('a rate that changes counts for what waits already', async () => {
  const clock = new Clock();
  // Slow up to the tenth second, without a limit from the twentieth on.
  const limit = clock.limit(() => (clock.ms < 10_000 ? 1 : clock.ms < 20_000 ? 1000 : Infinity));
  await using pending = await withLimit(new MemoryStore(), limit).begin('a');
  await pending.append(pieces('x'.repeat(5009), 'x'));
  // 9 bytes in 9 seconds, and 5000 in 5.
  expect(clock.ms).toBe(15_000);
  await pending.append(pieces('x'.repeat(999_999), 'x'));
  // The waits before end at a full second after 15.001 s.
  expect(clock.ms).toBe(20_001);
});

test('an abort ends a wait, with the reason', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  await using pending = await withLimit(new MemoryStore(), { bytesPerSecond: 0.001 }).begin('a');
  const appended = pending.append(pieces('x', 'x'), { signal: controller.signal });
  setImmediate(() => controller.abort(reason));
  await expect(appended).rejects.toBe(reason);
});

test.each([0, -1, Number.NaN])('%d bytes per second is not a valid limit', (bytesPerSecond) => {
  expect(() => withLimit(new MemoryStore(), { bytesPerSecond })).toThrow(RangeError);
  expect(() => withLimit(new MemoryStore(), { bytesPerSecond: () => bytesPerSecond })).toThrow(RangeError);
});

describe('it keeps the promises of a store', () => {
  const memory = new Memory();
  for (const { title, run } of storeConformance(async () => withLimit(new MemoryStore(memory), { bytesPerSecond: 1e15 }))) test(title, run);
});
