import { describe, expect, test } from 'vitest';
import { pieces, put, textOf } from '../../test/objects.ts';
import { storeConformance } from '../conformance/index.ts';
import { StoreError } from '../errors.ts';
import { Memory, MemoryStore, faultyStore } from './index.ts';

const error = new StoreError('unavailable', { message: 'gone' });

test('only the chosen call fails', async () => {
  const store = faultyStore(new MemoryStore(), { faults: [{ on: 'begin', nth: 2, error }] });
  await put(store, 'a', 'content');
  await expect(store.begin('b')).rejects.toBe(error);
  await put(store, 'b', 'content');
});

test('a body is cut after the given number of bytes', async () => {
  const store = faultyStore(new MemoryStore(), { faults: [{ on: 'body', nth: 1, after: 3, error }] });
  await put(store, 'a', 'content');
  let text = '';
  const read = async (): Promise<void> => {
    for await (const chunk of await store.read('a')) text += Buffer.from(chunk).toString();
  };
  await expect(read()).rejects.toBe(error);
  expect(text).toBe('con');
  expect(await textOf(await store.read('a'))).toBe('content');
});

test('a call that stalls ends when it is aborted', async () => {
  const store = faultyStore(new MemoryStore(), { faults: [{ on: 'stat' }, { on: 'body', after: 1 }] });
  await put(store, 'a', 'content');
  const reason = new Error('enough');
  for (const call of [
    (signal: AbortSignal) => store.stat('a', { signal }),
    async (signal: AbortSignal) => textOf(await store.read('a', { signal })),
  ]) {
    const controller = new AbortController();
    const called = call(controller.signal);
    setImmediate(() => controller.abort(reason));
    await expect(called).rejects.toBe(reason);
  }
});

test('if the space is used up, append fails with full', async () => {
  const store = faultyStore(new MemoryStore(), { freeBytes: 5 });
  await using pending = await store.begin('a');
  await pending.append(pieces('ab', 'cd'));
  await expect(pending.append(pieces('ef'))).rejects.toMatchObject({ code: 'full' });
});

describe('without faults it keeps the promises of a store', () => {
  const memory = new Memory();
  for (const { title, run } of storeConformance(async () => faultyStore(new MemoryStore(memory), {}))) test(title, run);
});
