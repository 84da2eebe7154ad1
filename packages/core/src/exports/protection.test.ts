import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { put } from '../../test/sample-export.ts';
import { listStore } from '../operations/list-store.ts';
import { verifyStore } from '../operations/verify-store.ts';
import { verifyExport } from '../operations/verify.ts';
import { keysFileName, SIGNATURE_FILE, SUMS_FILE } from './layout.ts';

const NOW = Date.now();
const DAY_MS = 86_400_000;

/** A store that asks for locks, and whose objects are kept for a number of days from now; undefined: not. */
function locked(store: Store, daysOf: (key: string) => number | 'unknown' | undefined, asked: string[] = []): Store {
  return alterStore(store, {
    protect: () => Promise.resolve(),
    protectedUntil: async (key) => {
      asked.push(key);
      const days = daysOf(key);
      return await Promise.resolve(typeof days === 'number' ? new Date(NOW + days * DAY_MS) : days);
    },
  });
}

async function daysOf(store: Store): Promise<readonly (number | undefined)[]> {
  const { exports } = await listStore({ store });
  return exports.map(({ protectedUntil }) => protectedUntil && Math.round((protectedUntil.getTime() - NOW) / DAY_MS));
}

describe('an export', () => {
  test('is protected for as long as everything that it needs, the dumps of its parents too', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    const first = await bench.exportDisks({ incremental: true });
    await bench.exportDisks({ incremental: true });
    const isOfFirst = (key: string): boolean => key.startsWith(`${first.reference.replace('@', '/')}/`);
    const asked: string[] = [];
    await expect(daysOf(locked(store, (key) => (isOfFirst(key) ? 5 : 30), asked))).resolves.toEqual([5, 5]);
    expect(asked).toHaveLength(new Set(asked).size);
    await expect(daysOf(locked(store, (key) => (isOfFirst(key) ? 30 : 5)))).resolves.toEqual([30, 5]);
  });

  test('is not protected if one of its objects is not, or not any more, or the store does not say', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    await bench.exportDisks();
    await expect(daysOf(locked(store, (key) => (key.endsWith('disk0.zst') ? undefined : 30)))).resolves.toEqual([undefined]);
    await expect(daysOf(locked(store, (key) => (key.endsWith('manifest.json') ? -1 : 30)))).resolves.toEqual([undefined]);
    await expect(daysOf(locked(store, (key) => (key.endsWith('config.ini') ? 30 : 'unknown')))).resolves.toEqual([undefined]);
    await expect(daysOf(store)).resolves.toEqual([undefined]);
  });

  test('needs its checksums, its signature and the keys that were added to it, too', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    const { reference } = await bench.exportDisks();
    for (const name of [SIGNATURE_FILE, keysFileName(1)]) await put(store, `${reference.replace('@', '/')}/${name}`, 'x');
    for (const name of [SUMS_FILE, SIGNATURE_FILE, keysFileName(1)])
      await expect(daysOf(locked(store, (key) => (key.endsWith(name) ? 5 : 30)))).resolves.toEqual([5]);
  });
});

describe('a verification', () => {
  test('says of one export which lock is missing, or has ended, or that locks cannot be seen, each in its own words', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    const { reference } = await bench.exportDisks();
    const warningsOf = async (daysOf: Parameters<typeof locked>[1]): Promise<readonly string[]> =>
      (await verifyExport({ store: locked(store, daysOf), export: reference })).warnings;
    await expect(warningsOf(() => 30)).resolves.toEqual([]);
    const [day] = new Date(NOW - DAY_MS).toISOString().split('T');
    const key = `${reference.replace('@', '/')}/manifest.json`;
    await expect(warningsOf(() => -1)).resolves.toEqual([`the lock of ${key} ended on ${day}: a removal would take effect`]);
    await expect(warningsOf((each) => (each === key ? -1 : undefined))).resolves.toEqual([
      expect.stringMatching(/disk0\.zst is not protected by the service: a removal would take effect/),
    ]);
    await expect(warningsOf(() => 'unknown')).resolves.toEqual([
      expect.stringMatching(/^cannot see whether removals from .* would take effect: the service does not show the locks/),
    ]);
  });

  test('says once of a store that locks have ended, or cannot be seen, and of each export that has none', async () => {
    const store = new MemoryStore();
    await using bench = await makeOperationBench({ store });
    const references: string[] = [];
    for (const _ of [1, 2, 3]) references.push((await bench.exportDisks()).reference);
    const [first = ''] = references;
    const isOfFirst = (key: string): boolean => key.startsWith(`${first.replace('@', '/')}/`);
    const warningsOf = async (daysOf: Parameters<typeof locked>[1]): Promise<readonly string[]> =>
      (await verifyStore({ store: locked(store, daysOf), stateDirectory: bench.directory.file('state') })).warnings;
    const [day] = new Date(NOW - 9 * DAY_MS).toISOString().split('T');
    await expect(warningsOf((key) => (isOfFirst(key) ? -9 : -2))).resolves.toEqual([
      `3 exports have locks that ended, the first on ${day}: a removal of them would take effect`,
    ]);
    await expect(warningsOf((key) => (isOfFirst(key) ? -9 : 30))).resolves.toEqual([
      `1 export has a lock that ended on ${day}: a removal of it would take effect`,
    ]);
    await expect(warningsOf(() => 'unknown')).resolves.toEqual([expect.stringMatching(/^cannot see whether removals/)]);
    const none = await warningsOf((key) => (isOfFirst(key) ? 30 : undefined));
    const keys = references.slice(1).map((reference) => `${reference.replace('@', '/')}/manifest.json`);
    expect(new Set(none.map((warning) => warning.split(' is not protected', 1)[0]))).toEqual(new Set(keys));
    expect(none).toHaveLength(keys.length);
  });
});
