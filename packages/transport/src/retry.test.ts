import { describe, expect, test } from 'vitest';
import { put, textOf, pieces } from '../test/objects.ts';
import { storeConformance } from './conformance/index.ts';
import { StoreError } from './errors.ts';
import type { RetryOptions } from './retry.ts';
import { withRetry } from './retry.ts';
import type { Store } from './store.ts';
import type { Fault } from './testing/index.ts';
import { Memory, MemoryStore, faultyStore } from './testing/index.ts';

const unavailable = new StoreError('unavailable', { message: 'the network is down' });
const denied = new StoreError('denied', { message: 'permission denied' });

/** A store with the given faults, retried without real waits; `waits` has the ms it would have waited. */
async function unreliable(
  faults: readonly Fault[],
  options: RetryOptions = {},
): Promise<{ store: Store; memory: MemoryStore; waits: number[] }> {
  const memory = new MemoryStore();
  for (const key of ['a', 'b/c', 'd']) await put(memory, key, `content of ${key}`);
  const waits: number[] = [];
  const pause: RetryOptions['pause'] = async (ms, signal) => {
    signal?.throwIfAborted();
    waits.push(ms);
  };
  return { memory, waits, store: withRetry(faultyStore(memory, { faults }), { pause, random: () => 1, ...options }) };
}

describe('unavailable calls are retried', () => {
  test('stat, until it succeeds, with longer and longer waits', async () => {
    const { store, waits } = await unreliable([1, 2, 3].map((nth) => ({ on: 'stat', nth, error: unavailable })));
    expect(await store.stat('a')).toMatchObject({ size: 12 });
    expect(waits).toEqual([200, 400, 800]);
  });

  test('a wait is at most maxMs, and randomly up to a half shorter', async () => {
    const faults: Fault[] = [1, 2, 3].map((nth) => ({ on: 'stat', nth, error: unavailable }));
    const { store, waits } = await unreliable(faults, { baseMs: 100, maxMs: 150, random: () => 0 });
    await store.stat('a');
    expect(waits).toEqual([50, 75, 75]);
  });

  test('the last attempt rejects with its error; each earlier failure is reported', async () => {
    const reported: number[] = [];
    const { store, waits } = await unreliable([{ on: 'stat', error: unavailable }], {
      attempts: 3,
      onRetry: (_error, attempt) => reported.push(attempt),
    });
    await expect(store.stat('a')).rejects.toBe(unavailable);
    expect(reported).toEqual([1, 2]);
    expect(waits).toHaveLength(2);
  });

  test('remove, clear and begin', async () => {
    const { store, memory, waits } = await unreliable(
      (['remove', 'clear', 'begin'] as const).map((on) => ({ on, nth: 1, error: unavailable })),
    );
    await store.remove(['a']);
    const pending = await store.begin('new');
    await store.clear([pending.token]);
    expect(waits).toHaveLength(3);
    expect((await Array.fromAsync(memory.list(''))).map(({ key }) => key)).toEqual(['b/c', 'd']);
    expect(await Array.fromAsync(memory.pending(''))).toEqual([]);
  });

  test('list continues after the last key that it yielded', async () => {
    const { store, waits } = await unreliable([
      { on: 'list', nth: 1, after: 1, error: unavailable },
      { on: 'list', nth: 2, after: 2, error: unavailable },
    ]);
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['a', 'b/c', 'd']);
    expect(waits).toEqual([200, 200]);
  });

  test('read continues at the byte that it reached, within its range', async () => {
    const { store, waits } = await unreliable([
      { on: 'read', nth: 1, error: unavailable },
      { on: 'body', nth: 1, after: 3, error: unavailable },
      { on: 'read', nth: 3, error: unavailable },
      { on: 'body', nth: 2, after: 2, error: unavailable },
    ]);
    await using source = await store.read('b/c', { offset: 3, length: 9 });
    expect(source).toMatchObject({ length: 9, objectSize: 14 });
    expect(await textOf(source)).toBe('tent of b');
    expect(waits).toHaveLength(4);
  });

  test('an object that was replaced while it was read is not mixed with the new one', async () => {
    const { store, memory } = await unreliable([{ on: 'body', nth: 1, after: 3, error: unavailable }]);
    await using source = await store.read('a');
    await memory.remove(['a']);
    await put(memory, 'a', 'something else, which is longer');
    await expect(textOf(source)).rejects.toMatchObject({ code: 'integrity' });
  });
});

describe('not retried are', () => {
  test('other failures', async () => {
    const { store, waits } = await unreliable([
      { on: 'stat', error: denied },
      { on: 'list', after: 1, error: denied },
      { on: 'body', after: 1, error: denied },
    ]);
    await expect(store.stat('a')).rejects.toBe(denied);
    await expect(Array.fromAsync(store.list(''))).rejects.toBe(denied);
    await expect(textOf(await store.read('a'))).rejects.toBe(denied);
    expect(waits).toEqual([]);
  });

  test('append and commit', async () => {
    const { store, waits } = await unreliable([
      { on: 'append', nth: 1, error: unavailable },
      { on: 'commit', error: unavailable },
    ]);
    await using pending = await store.begin('new');
    await expect(pending.append(pieces('x'))).rejects.toBe(unavailable);
    await using other = await store.begin('other');
    await other.append(pieces('x'));
    await expect(other.commit({ size: 1, sha256: '' })).rejects.toBe(unavailable);
    expect(waits).toEqual([]);
  });

  test('aborted calls: the wait ends with the reason', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const store = withRetry(faultyStore(new MemoryStore(), { faults: [{ on: 'stat', error: unavailable }] }), {
      baseMs: 1e9,
      maxMs: 1e9,
      onRetry: () => setImmediate(() => controller.abort(reason)),
    });
    await expect(store.stat('a', { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe('it keeps the promises of a store', () => {
  const memory = new Memory();
  for (const { title, run } of storeConformance(async () => withRetry(new MemoryStore(memory)))) test(title, run);
});
