import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { makeRandomFile, makeSparseFile } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import type { Fault } from '@gantry/transport/testing';
import { faultyStore, Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { getBytes, keysOf, put } from '../../test/sample-export.ts';
import { memoryTransfers } from '../instances/testing/memory-transfers.ts';
import { exportFromSource } from './export-from-source.ts';
import type { ExportRequest, ExportResult } from './export.ts';
import { mirrorStore } from './mirror.ts';

/*
 * Exports into several stores in one reading. The stores are in memory, with names; those that real machines have are in
 * apps/cli/test/tee.test.ts.
 */

const MIB = 1024 * 1024;
const DISK_BYTES = 12 * MIB;

/** What is in a store, and the store. */
interface NamedStore {
  readonly store: Store;
  readonly memory: Memory;
}

function named(name: string, faults: readonly Fault[] = []): NamedStore {
  const memory = new Memory();
  const store = faultyStore(new MemoryStore(memory), { faults });
  return { memory, store: { ...store, address: name } };
}

interface TeeBench extends OperationBench {
  readonly tee: (stores: readonly NamedStore[], request?: Partial<ExportRequest>) => Promise<ExportResult>;
  /** The disks of the export in a store are those of the instance. */
  readonly expectSame: (store: Store, reference: string) => Promise<void>;
  readonly change: () => Promise<void>;
}

async function makeBench(disks = 1): Promise<TeeBench> {
  const bench = await makeOperationBench({ disks });
  const paths = bench.instance.disks.map(({ path = '' }) => path);
  let changes = 0;
  const change = async (): Promise<void> => {
    for (const path of paths) await makeRandomFile(path, DISK_BYTES, `${path} ${(changes += 1)}`);
  };
  await change();
  return {
    ...bench,
    change,
    tee: ([first, ...others], request) =>
      bench.exportDisks({ store: first?.store ?? bench.store, alsoInto: others.map(({ store }) => store), ...request }),
    async expectSame(store, reference) {
      const targets = paths.map((path) => `${path}.target`);
      for (const target of targets) await makeSparseFile(target, DISK_BYTES);
      const instance = { ...bench.instance, disks: targets.map((path) => ({ path, access: 'rw' as const })) };
      await bench.importDisks(reference, { store, instance, yes: true });
      for (const [index, target] of targets.entries())
        expect((await readFile(target)).equals(await readFile(paths[index] ?? '')), `disk ${index}`).toBe(true);
    },
  };
}

async function contentsOf({ store }: NamedStore): Promise<ReadonlyMap<string, string>> {
  const keys = await keysOf(store);
  return new Map(await Promise.all(keys.map(async (key) => [key, (await getBytes(store, key)).toString('base64')] as const)));
}

const unavailable = new StoreError('unavailable', { message: 'the network is down' });

/** Nothing of an export, and no unfinished writes. */
async function expectEmpty({ store, memory }: NamedStore): Promise<void> {
  expect(await keysOf(store)).toEqual([]);
  expect(memory.unfinished.size).toBe(0);
}

describe('an export into several stores', () => {
  test.each([{ incremental: false }, { incremental: true }])('is the same in each, to the byte: %o', async ({ incremental }) => {
    await using bench = await makeBench(2);
    const stores = [named('a'), named('b'), named('c')];
    const result = await bench.tee(stores, { incremental });
    expect(result.stores).toEqual(['a', 'b', 'c'].map((store) => ({ store, outcome: 'exported' })));
    expect(result.warnings).toEqual([]);
    const [first, ...others] = await Promise.all(stores.map(contentsOf));
    for (const other of others) expect(other).toEqual(first);
    for (const { store } of stores) await bench.expectSame(store, result.reference);
    const [source, target] = stores;
    if (source === undefined || target === undefined) throw new Error('three stores');
    await expect(mirrorStore({ source: source.store, target: target.store })).resolves.toMatchObject({ exports: [], present: 1 });
  });

  test('goes on from the one before, of which all stores have the same', async () => {
    await using bench = await makeBench();
    const stores = [named('a'), named('b')];
    const first = await bench.tee(stores, { incremental: true });
    await using disk = await open(bench.instance.disks[0]?.path ?? '', 'r+');
    await disk.write(randomBytes(4 * MIB), 0, 4 * MIB, 8 * MIB);
    const second = await bench.tee(stores, { incremental: true });
    expect(second.incremental).toMatchObject({ parents: [first.reference], known: { frames: 2 }, new: { frames: 1 } });
    expect(second.stores?.map(({ outcome }) => outcome)).toEqual(['exported', 'exported']);
    const [one, other] = await Promise.all(stores.map(contentsOf));
    expect(one).toEqual(other);
    for (const { store } of stores) await bench.expectSame(store, second.reference);
  });

  test('is copied to a store that lacks the parent, or has another one of its name and size', async () => {
    await using bench = await makeBench();
    const [a, b, c] = [named('a'), named('b'), named('c')];
    const first = await bench.tee([a, b], { incremental: true });
    const manifest = `${first.reference.replace('@', '/')}/manifest.json`;
    const text = (await getBytes(b.store, manifest)).toString();
    const other = text.replaceAll(/"sha256": "[0-9a-f]{64}"/g, `"sha256": "${'0'.repeat(64)}"`);
    await put(b.store, manifest, other);
    await bench.change();
    const second = await bench.tee([a, b, c], { incremental: true });
    expect(second.stores).toMatchObject([
      { store: 'a', outcome: 'exported' },
      { store: 'b', outcome: 'copied', code: 'STORE_UNSUPPORTED' },
      { store: 'c', outcome: 'copied', code: 'STORE_UNSUPPORTED' },
    ]);
    const lacks = second.warnings.filter((warning) =>
      warning.includes(`it does not have ${first.reference} as a has it [STORE_UNSUPPORTED]`),
    );
    expect(lacks).toHaveLength(2);
    for (const { store } of [a, b, c]) await bench.expectSame(store, second.reference);
  });

  test.each([true, false])('is given up in a store that fails in the middle, and copied there afterwards (first: %s)', async (isFirst) => {
    await using bench = await makeBench(2);
    for (const incremental of [false, true]) {
      const good = named('good');
      const bad = named('bad', [{ on: 'append', nth: 3, error: unavailable, after: 5 * MIB }]);
      const result = await bench.tee(isFirst ? [bad, good] : [good, bad], { incremental });
      expect(result.stores?.toSorted((a, b) => (a.store < b.store ? -1 : 1))).toEqual([
        { store: 'bad', outcome: 'copied', code: 'STORE_UNAVAILABLE', reason: 'store bad: the network is down' },
        { store: 'good', outcome: 'exported' },
      ]);
      expect(result.warnings).toEqual(['the export was given up in one of the stores: store bad: the network is down [STORE_UNAVAILABLE]']);
      for (const { store, memory } of [good, bad]) {
        await bench.expectSame(store, result.reference);
        expect(memory.unfinished.size).toBe(0);
      }
    }
  });

  test.each(['begin', 'list', 'append', 'commit'] as const)('is complete in one although %s always fails in the other', async (on) => {
    await using bench = await makeBench();
    for (const isFirst of [true, false]) {
      const good = named('good');
      const bad = named('bad', [{ on, error: unavailable }]);
      const result = await bench.tee(isFirst ? [bad, good] : [good, bad]);
      await bench.expectSame(good.store, result.reference);
      const failed = result.stores?.find(({ store }) => store === 'bad');
      expect(failed).toMatchObject({ outcome: 'failed', code: 'STORE_UNAVAILABLE', copyReason: 'store bad: the network is down' });
      expect(result.stores?.filter(({ outcome }) => outcome === 'exported')).toHaveLength(1);
      expect([...bad.memory.objects.keys()].filter((key) => key.endsWith('manifest.json'))).toEqual([]);
      expect(bad.memory.unfinished.size).toBe(0);
    }
  });

  test('fails with the failure of the first store if it fails in all, and leaves nothing', async () => {
    await using bench = await makeBench();
    const full = new StoreError('full', { message: 'no space left' });
    const stores = [
      named('a', [{ on: 'append', nth: 3, error: full, after: MIB }]),
      named('b', [{ on: 'append', nth: 3, error: unavailable, after: 2 * MIB }]),
    ];
    const givenUp = new Map<string, string>();
    const onGivenUp: ExportRequest['onGivenUp'] = ({ address }, { code }) => void givenUp.set(address, code);
    await expect(bench.tee(stores, { onGivenUp })).rejects.toMatchObject({ code: 'STORE_FULL', message: 'store a: no space left' });
    expect(givenUp).toEqual(new Map(Object.entries({ a: 'STORE_FULL', b: 'STORE_UNAVAILABLE' })));
    for (const store of stores) await expectEmpty(store);
  });

  test('does not wait for a store that is slower than its buffer allows; that one gets a copy', async () => {
    await using bench = await makeBench();
    const fast = named('fast');
    const inner = named('slow');
    const taken = Promise.withResolvers<void>();
    let dumps = 0;
    const slow: NamedStore = {
      ...inner,
      store: stalling(inner.store, (key) => key.endsWith('/disk0.zst') && (dumps += 1) === 1, taken.resolve),
    };
    const result = await bench.tee([slow, fast], { storeBufferBytes: 4 * MIB });
    await taken.promise;
    expect(result.stores).toMatchObject([
      { store: 'slow', outcome: 'copied', code: 'STORE_TOO_SLOW' },
      { store: 'fast', outcome: 'exported' },
    ]);
    for (const { store } of [slow, fast]) await bench.expectSame(store, result.reference);
    expect(inner.memory.unfinished.size).toBe(0);
  });

  test('fails as one into a single store if its source fails, and leaves nothing, but what the next one can take over', async () => {
    await using bench = await makeBench(2);
    for (const incremental of [false, true]) {
      const stores = [named('a'), named('b')];
      const cut = new AbortController();
      const warnings: string[] = [];
      const request: Partial<ExportRequest> = {
        incremental,
        signal: cut.signal,
        onEvent: (event) => {
          if (event.type === 'progress' && event.plainBytes >= DISK_BYTES / 2) cut.abort(new Error('cut off'));
          if (event.type === 'warning') warnings.push(event.message);
        },
      };
      await expect(bench.tee(stores, request)).rejects.toThrow('cut off');
      expect(warnings).toEqual([]);
      if (!incremental) {
        for (const store of stores) await expectEmpty(store);
        continue;
      }
      for (const { store } of stores) expect((await keysOf(store)).filter((key) => key.endsWith('cut-off.json'))).toHaveLength(1);
      const next = await bench.tee(stores, { incremental });
      expect(next.incremental?.known.frames).toBeGreaterThan(0);
      // What was cut off has no digests that could be compared: the second store gets a copy.
      expect(next.stores?.map(({ outcome }) => outcome)).toEqual(['exported', 'copied']);
      for (const { store } of stores) await bench.expectSame(store, next.reference);
    }
  });

  test('is refused in a place that is not a store, and goes on in the others', async () => {
    await using bench = await makeBench();
    const [a, b] = [named('a'), named('b')];
    await bench.tee([a], {});
    const result = await bench.tee([a, b], { createStore: false });
    expect(result.stores).toMatchObject([{ outcome: 'exported' }, { outcome: 'failed', code: 'STORE_NOT_FOUND' }]);
    await expectEmpty(b);
  });

  test('comes from a source that sends its disks, too', async () => {
    await using bench = await makeBench();
    const stores = [named('a'), named('b')];
    const [first, second] = stores;
    if (first === undefined || second === undefined) throw new Error('two stores');
    const data = Buffer.from('what the source sends');
    const { source } = memoryTransfers({ disks: [data] });
    const request = { instance: bench.instance, stateDirectory: bench.directory.file('state'), createStore: true, source };
    const result = await exportFromSource({ ...request, store: first.store, alsoInto: [second.store] });
    expect(result.stores?.map(({ outcome }) => outcome)).toEqual(['exported', 'exported']);
    expect(await contentsOf(first)).toEqual(await contentsOf(second));
  });
});

/** A store that takes the first chunk of some objects, and nothing after that until it is aborted. */
function stalling(store: Store, isMeant: (key: string) => boolean, onStall: () => void): Store {
  return {
    ...store,
    begin: async (key, options) => {
      const pending = await store.begin(key, options);
      if (!isMeant(key)) return pending;
      return {
        ...pending,
        get durableBytes() {
          return pending.durableBytes;
        },
        append: async (source, call) => {
          for await (const _chunk of source) {
            onStall();
            await new Promise((_resolve, reject) => call?.signal?.addEventListener('abort', () => reject(call.signal?.reason)));
          }
        },
      };
    },
  };
}
