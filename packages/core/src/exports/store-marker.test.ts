import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { get, put, sampleHeader, writeExport } from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from './list-exports.ts';
import { openExport } from './open-export.ts';
import { assertStoreFormat, initializeStore, requireStore } from './store-marker.ts';
import { storeSink } from './store-sink.ts';
import { findUnfinished } from './unfinished.ts';

const MARKER = 'gantry-store.json';

/** A store whose user lacks the given rights. */
function denying(store: Store, ...denied: readonly string[]): Store {
  return watchedStore(store, {
    before: (call: StoreCall) => {
      if (denied.some((start) => call.startsWith(start))) throw new StoreError('denied', { message: `${call} is denied` });
    },
  });
}

describe('a place where no store is', () => {
  test('takes no export by default: nothing is written to it', async () => {
    const store = new MemoryStore();
    await expect(storeSink(store).open(sampleHeader)).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      message: expect.stringContaining(`it contains neither exports nor ${MARKER}`),
      hint: expect.stringContaining('gantry store init'),
    });
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  });

  test('that is missing itself, such as a bucket, gets the hint of its transport', async () => {
    const missing = watchedStore(new MemoryStore(), {
      before: (call: StoreCall) => {
        throw new StoreError('not-found', { message: `${call}: no bucket`, hint: 'Gantry creates no buckets.' });
      },
    });
    await expect(requireStore(missing, { create: false })).rejects.toMatchObject({
      code: 'STORE_NOT_FOUND',
      hint: expect.stringMatching(/^Gantry creates no buckets\. To make a new store: gantry store init/),
    });
  });

  test('becomes one when that is asked for, and stays the same one', async () => {
    const store = new MemoryStore();
    await requireStore(store, { create: true });
    const marker: unknown = JSON.parse(await get(store, MARKER));
    expect(marker).toMatchObject({ format: 'gantry-store', version: 1, tool: { name: 'gantry' } });
    await requireStore(store, { create: true });
    await requireStore(store, { create: false });
    expect(JSON.parse(await get(store, MARKER))).toEqual(marker);
  });

  test('holds other things than exports', async () => {
    const store = new MemoryStore();
    await put(store, 'notes/todo.txt', 'x');
    await put(store, 'web1/20261123T081500Z/export.claim', 'x');
    await expect(requireStore(store, { create: false })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });
});

describe('a store without a marker', () => {
  test.each(['web1/20261123T081500Z/manifest.json', 'web1/config.ini'])('is one by its export %s', async (key) => {
    const store = new MemoryStore();
    await put(store, key, 'x');
    await requireStore(store, { create: false });
    await requireStore(store, { create: true });
    expect(await Array.fromAsync(store.list(''), (info) => info.key)).toEqual([key]);
  });

  test('gets one from initializeStore', async () => {
    const store = new MemoryStore();
    await put(store, 'web1/config.ini', 'x');
    const { id, created } = await initializeStore(store);
    expect(created).toBe(true);
    expect(await initializeStore(store)).toEqual({ id, created: false });
    expect(JSON.parse(await get(store, MARKER))).toMatchObject({ id });
  });
});

test('of two that make one store at once, both have the same', async () => {
  const memory = new MemoryStore();
  const results = await Promise.all([initializeStore(memory), initializeStore(memory)]);
  expect(results[0]?.id).toBe(results[1]?.id);
  expect(new Set(results.map(({ created }) => created))).toEqual(new Set([false, true]));
});

describe('a marker of a later format', () => {
  test('is refused by everything that reads or writes', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    await put(store, MARKER, JSON.stringify({ format: 'gantry-store', version: 2, layout: 'new' }));
    const refusal = { code: 'STORE_VERSION', message: expect.stringContaining('has format 2') };
    await expect(storeSink(store, { createStore: true }).open(sampleHeader)).rejects.toMatchObject(refusal);
    await expect(initializeStore(store)).rejects.toMatchObject(refusal);
    await expect(openExport(store, reference)).rejects.toMatchObject(refusal);
    await expect(Array.fromAsync(listExports(store))).rejects.toMatchObject(refusal);
    await expect(findUnfinished(store)).rejects.toMatchObject(refusal);
  });
});

describe('a marker that is damaged', () => {
  test.each(['{', '{}', '[]', '{"format":"gantry-store","version":1}', '\u0000', `"${'x'.repeat(20_000)}"`])(
    'keeps nobody from a restore, and takes no export: %.20s',
    async (text) => {
      const store = new MemoryStore();
      const reference = await writeExport(store);
      await put(store, MARKER, text);
      await expect(openExport(store, reference)).resolves.toMatchObject({ reference });
      const refusal = { code: 'STORE_FAILED', message: expect.stringContaining(`${MARKER} in`) };
      await expect(requireStore(store, { create: true })).rejects.toMatchObject(refusal);
      await expect(initializeStore(store)).rejects.toMatchObject(refusal);
    },
  );
});

describe('a user who may not look', () => {
  test('who may neither list nor read takes the place for a store, since it cannot find out', async () => {
    const store = new MemoryStore();
    await requireStore(denying(store, 'read', 'list'), { create: false });
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  });

  test('marks it where that is asked for, and never twice', async () => {
    const store = new MemoryStore();
    const blind = denying(store, 'read', 'list', 'stat');
    await requireStore(blind, { create: true });
    const marker = await get(store, MARKER);
    await requireStore(blind, { create: true });
    expect(await get(store, MARKER)).toBe(marker);
    expect(await initializeStore(blind)).toEqual({ id: undefined, created: false });
  });

  test('who may list sees by that whether it is one', async () => {
    const store = new MemoryStore();
    const shortSighted = denying(store, 'read');
    await expect(requireStore(shortSighted, { create: false })).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
    await initializeStore(store);
    await requireStore(shortSighted, { create: false });
    await assertStoreFormat(shortSighted, {});
  });
});
