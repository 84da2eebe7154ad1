import { readdir } from 'node:fs/promises';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { alterStore, StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { get, keysOf, put, sampleHeader, writeExport } from '../../test/sample-export.ts';
import { listExports } from '../exports/list-exports.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { removeExport } from '../exports/remove-export.ts';
import type { VerifyStoreRequest, VerifyStoreResult } from './verify-store.ts';
import { verifyStore } from './verify-store.ts';

const RECORDS = 'gantry-verified/instances/';

let directory: TemporaryDirectory;
let memory: MemoryStore;

beforeEach(async () => {
  directory = await makeTemporaryDirectory();
  memory = new MemoryStore();
  await initializeStore(memory);
  return () => directory[Symbol.asyncDispose]();
});

function verify(request: Partial<VerifyStoreRequest> = {}): Promise<VerifyStoreResult> {
  return verifyStore({ store: memory, stateDirectory: directory.file('state'), parallel: 1, ...request });
}

/** An export of each instance, with 1000 bytes in its only dump. */
async function writeExports(...instances: readonly string[]): Promise<readonly string[]> {
  const references: string[] = [];
  for (const instance of instances) references.push(await writeExport(memory, ['x'.repeat(1000)], { ...sampleHeader, instance }));
  return references;
}

async function damage(reference: string): Promise<void> {
  const key = `${reference.replace('@', '/')}/disk0.img`;
  await put(memory, key, (await get(memory, key)).replace('x', 'y'));
}

function resultsOf({ exports }: VerifyStoreResult): Record<string, string> {
  return Object.fromEntries(exports.map(({ reference, result, code }) => [reference, code ?? result]));
}

/** A store that counts how often each object is read. */
function countingReads(store: Store): { readonly store: Store; readonly reads: Map<string, number> } {
  const reads = new Map<string, number>();
  return {
    reads,
    store: alterStore(store, {
      read: (key, options) => {
        reads.set(key, (reads.get(key) ?? 0) + 1);
        return store.read(key, options);
      },
    }),
  };
}

describe('a whole store', () => {
  test.each([['stored'], ['frames']] as const)('is verified to the end, although something in it is damaged (%s)', async (depth) => {
    const [first = '', second = '', third = ''] = await writeExports('a', 'b', 'c');
    await damage(first);
    const result = await verify({ depth });
    expect(resultsOf(result)).toEqual({ [first]: 'DUMP_DAMAGED', [second]: 'sound', [third]: 'sound' });
    expect(result).toMatchObject({ depth, damaged: 1, unreadable: 0, left: 0, unfinished: 0, remembered: 'store' });
    expect(result.exports[0]).toMatchObject({ reference: first, reason: expect.stringContaining('disk0.img') });
    expect(result.readBytes).toBeGreaterThan(3000);
  });

  test('names every kind of damage that names and sizes show, and reads no dump for it', async () => {
    const [first = '', second = '', third = ''] = await writeExports('a', 'b', 'c');
    await memory.remove([`${first.replace('@', '/')}/disk0.img`]);
    await put(memory, `${second.replace('@', '/')}/disk0.img`, 'short');
    const { store, reads } = countingReads(memory);
    const result = await verify({ store, depth: 'present' });
    expect(resultsOf(result)).toEqual({ [first]: 'DUMP_MISSING', [second]: 'DUMP_DAMAGED', [third]: 'sound' });
    expect([...reads.keys()].filter((key) => key.endsWith('.img'))).toEqual([]);
    expect(result).not.toHaveProperty('remembered');
    await expect(verify({ depth: 'present', budget: { percent: 5 } })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test.each([
    ['SHA256SUMS', 'MANIFEST_DAMAGED'],
    ['config.ini', 'CONFIG_DAMAGED'],
  ])('finds a %s that was changed', async (file, code) => {
    const [reference = ''] = await writeExports('web1');
    const key = `${reference.replace('@', '/')}/${file}`;
    await put(
      memory,
      key,
      (await get(memory, key)).replace(/[0-9a-f]/, (digit) => (digit === '0' ? '1' : '0')),
    );
    expect(resultsOf(await verify())).toEqual({ [reference]: code });
  });

  test('is verified although one dump cannot be read: that is not called damage', async () => {
    const [first = '', second = ''] = await writeExports('a', 'b');
    const store = alterStore(memory, {
      read: async (key, options) => {
        if (key === `${first.replace('@', '/')}/disk0.img`) throw new StoreError('denied', { message: 'permission denied', key });
        return await memory.read(key, options);
      },
    });
    const result = await verify({ store });
    expect(resultsOf(result)).toEqual({ [first]: 'STORE_DENIED', [second]: 'sound' });
    expect(result).toMatchObject({ damaged: 0, unreadable: 1 });
  });

  test('is given up when it cannot be reached any more, and what was verified until then is remembered', async () => {
    const [, second = ''] = await writeExports('a', 'b');
    const store = alterStore(memory, {
      read: async (key, options) => {
        if (key === `${second.replace('@', '/')}/disk0.img`) throw new StoreError('unavailable', { message: 'no route', key });
        return await memory.read(key, options);
      },
    });
    await expect(verify({ store })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await verify({ budget: { bytes: 1 } })).toMatchObject({ exports: [{ reference: second }], left: 1 });
  });

  test('an export that is removed in the middle is not damage', async () => {
    const [first = '', second = ''] = await writeExports('a', 'b');
    const store = alterStore(memory, {
      read: async (key, options) => {
        if (key === `${first.replace('@', '/')}/disk0.img`) await removeExport(memory, first);
        return await memory.read(key, options);
      },
    });
    expect(resultsOf(await verify({ store }))).toEqual({ [second]: 'sound' });
  });
});

describe('a share of a store for each run', () => {
  test('takes what waits longest, until everything had its turn', async () => {
    const all = await writeExports('a', 'b', 'c', 'd');
    const seen: string[] = [];
    for (const left of [2, 2]) {
      const result = await verify({ budget: { percent: 30 } });
      expect(result).toMatchObject({ left, damaged: 0 });
      seen.push(...result.exports.map(({ reference }) => reference));
    }
    expect(seen.toSorted()).toEqual(all.toSorted());
    const again = await verify({ budget: { bytes: 1 } });
    expect(again.exports.map(({ reference }) => reference)).toEqual([seen[0]]);
    expect(again.oldestLeft).toEqual(expect.any(String));
  });

  test('is not exceeded by exports that are verified at once', async () => {
    await writeExports('a', 'b', 'c');
    expect(await verify({ budget: { bytes: 1 }, parallel: 4 })).toMatchObject({ exports: [{ result: 'sound' }], left: 2 });
  });

  test('says that an export was never verified', async () => {
    await writeExports('a', 'b');
    expect(await verify({ budget: { bytes: 1 } })).toMatchObject({ left: 1, oldestLeft: null });
  });

  describe('what cannot be read', () => {
    const denyDumpOf = (reference: string): Store =>
      alterStore(memory, {
        read: async (key, options) => {
          if (key === `${reference.replace('@', '/')}/disk0.img`) throw new StoreError('denied', { message: 'permission denied', key });
          return await memory.read(key, options);
        },
      });

    test('is tried again after everything else had its turn', async () => {
      const [first = '', second = ''] = await writeExports('a', 'b');
      const store = denyDumpOf(first);
      expect(resultsOf(await verify({ store, budget: { bytes: 1 } }))).toEqual({ [first]: 'STORE_DENIED' });
      expect(resultsOf(await verify({ store, budget: { bytes: 1 } }))).toEqual({ [second]: 'sound' });
      expect(await verify({ store, budget: { bytes: 1 } })).toMatchObject({ exports: [{ reference: first }], left: 1 });
    });

    test('takes nothing of the budget', async () => {
      const large = await writeExport(memory, ['x'.repeat(100_000)], { ...sampleHeader, instance: 'a' });
      const [second = ''] = await writeExports('b');
      const result = await verify({ store: denyDumpOf(large), budget: { bytes: 50_000 } });
      expect(resultsOf(result)).toEqual({ [large]: 'STORE_DENIED', [second]: 'sound' });
    });

    test.each([['stored'], ['frames']] as const)('does not hide damage in the rest of the export (%s)', async (depth) => {
      const reference = await writeExport(memory, ['x'.repeat(1000), 'x'.repeat(1000)]);
      const key = `${reference.replace('@', '/')}/disk1.img`;
      await put(memory, key, (await get(memory, key)).replace('x', 'y'));
      const result = await verify({ store: denyDumpOf(reference), depth });
      expect(resultsOf(result)).toEqual({ [reference]: 'DUMP_DAMAGED' });
    });
  });

  test('counts a deeper verification, and not one that was less deep', async () => {
    const [first = '', second = ''] = await writeExports('a', 'b');
    await verify({ depth: 'frames', budget: { bytes: 1 } });
    expect(resultsOf(await verify({ depth: 'stored', budget: { bytes: 1 } }))).toEqual({ [second]: 'sound' });
    expect(resultsOf(await verify({ depth: 'frames', budget: { bytes: 1 } }))).toEqual({ [second]: 'sound' });
    expect(resultsOf(await verify({ depth: 'frames', budget: { bytes: 1 } }))).toEqual({ [first]: 'sound' });
  });
});

describe('what is remembered', () => {
  test('is not taken for an export, and changes none', async () => {
    await writeExports('a', 'b');
    const before = await Array.fromAsync(listExports(memory));
    const keys = await keysOf(memory);
    expect(await verify()).toMatchObject({ remembered: 'store' });
    expect(await Array.fromAsync(listExports(memory))).toEqual(before);
    const added = (await keysOf(memory)).filter((key) => !keys.includes(key));
    expect(added).toEqual([expect.stringMatching(`^${RECORDS}a/[0-9a-f]{16}\\.json$`), expect.stringMatching(`^${RECORDS}b/`)]);
    await verify();
    expect(await keysOf(memory)).toEqual([...keys, ...added].toSorted());
  });

  test('goes into the state directory where the store is not to be written', async () => {
    const [first = '', second = ''] = await writeExports('a', 'b');
    const denied = new StoreError('denied', { message: 'read-only' });
    const store = alterStore(memory, { begin: () => Promise.reject(denied) });
    expect(await verify({ store, budget: { bytes: 1 } })).toMatchObject({ remembered: 'state directory' });
    expect(await readdir(directory.file('state', 'verified'))).toHaveLength(1);
    expect(resultsOf(await verify({ store, budget: { bytes: 1 } }))).toEqual({ [second]: 'sound' });
    expect(resultsOf(await verify({ store, budget: { bytes: 1 } }))).toEqual({ [first]: 'sound' });
  });

  test('leaves a directory without the marker of a store as it is', async () => {
    await writeExports('a');
    await memory.remove(['gantry-store.json']);
    const keys = await keysOf(memory);
    expect(await verify()).toMatchObject({ remembered: 'state directory' });
    expect(await keysOf(memory)).toEqual(keys);
  });

  test.each([
    ['no JSON', 'verified'],
    ['other JSON', '{"format":"gantry-verified","version":1,"exports":[1]}'],
    ['bytes that are not text', Buffer.of(0xff, 0xfe)],
    ['a time in the future', recordOf('b', '2126-01-01T00:00:00.000Z')],
    ['a name that is not one', recordOf('../../a', '2026-01-01T00:00:00.000Z')],
  ])('is not believed when it is %s', async (_what, content) => {
    const [, second = ''] = await writeExports('a', 'b');
    await verify({ budget: { bytes: 1 } });
    await put(memory, `${RECORDS}b/0123456789abcdef.json`, content);
    expect(resultsOf(await verify({ budget: { bytes: 1 } }))).toEqual({ [second]: 'sound' });
  });

  test('is of another host, too', async () => {
    const [first = '', second = ''] = await writeExports('a', 'b');
    const id = first.split('@')[1] ?? '';
    await put(memory, `${RECORDS}a/0123456789abcdef.json`, recordOf(id, new Date().toISOString()));
    expect(resultsOf(await verify({ budget: { bytes: 1 } }))).toEqual({ [second]: 'sound' });
  });

  test('does not grow with exports that are gone', async () => {
    const [first = ''] = await writeExports('a');
    await verify();
    await removeExport(memory, first);
    const second = await writeExport(memory, ['x'], { ...sampleHeader, instance: 'a', started: '2026-11-24T08:15:00.000Z' });
    await verify();
    const record = (await keysOf(memory)).find((key) => key.startsWith(RECORDS)) ?? '';
    const text = await get(memory, record);
    expect(text).toContain(second.split('@')[1]);
    expect(text).not.toContain(first.split('@')[1]);
  });
});

function recordOf(id: string, at: string): string {
  return JSON.stringify({ format: 'gantry-verified', version: 1, exports: { [id]: { stored: { at, result: 'sound', objects: [] } } } });
}
