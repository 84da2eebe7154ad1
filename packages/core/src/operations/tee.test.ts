import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { makeRandomFile, makeSparseFile, PATIENTLY } from '@gantry/testkit';
import type { BeginOptions, Store } from '@gantry/transport';
import { alterStore, StoreError } from '@gantry/transport';
import type { Fault } from '@gantry/transport/testing';
import { faultyStore, Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { getBytes, keysOf, put } from '../../test/sample-export.ts';
import type { DryRun } from '../flow/plan-checks.ts';
import { memoryTransfers } from '../instances/testing/memory-transfers.ts';
import { exportFromSource } from './export-from-source.ts';
import type { ExportRequest, ExportResult } from './export.ts';
import { mirrorStore } from './mirror.ts';
import { planExport } from './plan-export.ts';

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

const NATIVE = [{ name: 'a.json', secret: false, bytes: Buffer.from('{}') }];

/** Before some calls of a store. */
interface Before {
  readonly begin?: (key: string, options?: BeginOptions) => Promise<unknown>;
  readonly read?: (key: string) => Promise<unknown>;
  readonly remove?: () => Promise<unknown>;
}

function altered(name: string, before: Before): NamedStore {
  const { store, memory } = named(name);
  const changes: Partial<Store> = {
    begin: async (key, o) => {
      await before.begin?.(key, o);
      return await store.begin(key, o);
    },
    read: async (key, o) => {
      await before.read?.(key);
      return await store.read(key, o);
    },
    remove: async (keys, o) => {
      await before.remove?.();
      await store.remove(keys, o);
    },
  };
  return { memory, store: alterStore(store, changes) };
}

/** As a call that hangs. */
async function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  return await new Promise((_resolve, reject) => {
    if (signal?.aborted === true) reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}

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

  test('counts one store under two addresses as one, also before it has an id', async () => {
    await using bench = await makeBench();
    const a = named('a');
    const twin: NamedStore = { ...a, store: { ...a.store, address: 'another name of a' } };
    const first = await bench.tee([a, twin]);
    expect(first.stores).toMatchObject([{ outcome: 'exported' }, { outcome: 'failed', copyReason: expect.stringContaining('one store') }]);
    await expect(bench.tee([a, twin])).rejects.toMatchObject({
      code: 'USAGE',
      message: 'a and another name of a are one store: gantry-store.json has the same id in both',
    });
    expect((await keysOf(a.store)).filter((key) => key.endsWith('/manifest.json'))).toHaveLength(1);
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

  test('is not copied from a store that answers with another manifest than this run has written', async () => {
    await using bench = await makeBench();
    const good = named('good');
    const bad = named('bad', [{ on: 'append', nth: 1, error: unavailable }]);
    const hostile: Store = alterStore(good.store, {
      read: async (key, options) => {
        if (key.endsWith('/manifest.json')) await put(good.store, key, `${(await getBytes(good.store, key)).toString()} `);
        return await good.store.read(key, options);
      },
    });
    const result = await bench.tee([{ ...good, store: hostile }, bad]);
    expect(result.stores).toMatchObject([
      { outcome: 'exported' },
      { outcome: 'failed', copyReason: expect.stringMatching(/in good is not what this export has written: SHA-256 mismatch/) },
    ]);
    expect((await keysOf(bad.store)).filter((key) => !key.startsWith('gantry-'))).toEqual([]);
  });

  test('brings packs of its own instance and of its base to a store in which it was given up, and of no other', async () => {
    await using bench = await makeBench();
    const recipients = Recipients.of(await Identities.parse(await generateX25519Identity()).recipients());
    const [a, b] = [named('a'), named('b')];
    const other = { ...bench.instance, name: 'payroll.example.com' };
    const base = await bench.exportDisks({ store: a.store, instance: other, recipients, incremental: true });
    // The second store lacks the base.
    const first = await bench.tee([a, b], { recipients, incremental: true, base: base.reference });
    expect(first.stores).toMatchObject([{ outcome: 'exported' }, { outcome: 'copied', code: 'STORE_UNSUPPORTED' }]);
    const c = named('c');
    const next = await bench.tee([a, c], { recipients, incremental: true });
    expect(next.stores).toMatchObject([
      { outcome: 'exported' },
      { outcome: 'failed', copyReason: expect.stringMatching(/another instance/) },
    ]);
    expect((await keysOf(c.store)).filter((key) => !key.startsWith('gantry-'))).toEqual([]);
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
        parallel: 1,
        signal: cut.signal,
        onEvent: (event) => {
          // The first disk with its map is in both stores: it can be taken over.
          const isThere = stores.every(({ memory }) => [...memory.objects.keys()].some((key) => key.endsWith('/disk0.map')));
          if (event.type === 'progress' && event.disk === 1 && (isThere || !incremental)) cut.abort(new Error('cut off'));
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

  test.each(['native-a.json', '/disk0.zst', '/disk1.zst', '/manifest.json'])(
    'is complete in a store as soon as it has everything, although the other hangs at %s: a signal fails only that one',
    async (name) => {
      await using bench = await makeBench(2);
      const cut = new AbortController();
      const good = named('good');
      const bad = altered('bad', { begin: async (key, o) => key.endsWith(name) && (await untilAborted(o?.signal)) });
      const running = bench.tee([bad, good], { native: NATIVE, signal: cut.signal });
      const isComplete = (): boolean => [...good.memory.objects.keys()].some((key) => key.endsWith('/manifest.json'));
      await expect.poll(isComplete, PATIENTLY).toBe(true);
      cut.abort(new Error('cut off'));
      const result = await running;
      const reason = 'store bad: cut off';
      expect(result.stores).toEqual([
        { store: 'bad', outcome: 'failed', code: 'STORE_FAILED', reason, copyReason: reason },
        { store: 'good', outcome: 'exported' },
      ]);
      expect(result.warnings.filter((warning) => warning.includes(reason))).toHaveLength(2);
      await expectEmpty(bad);
      await bench.expectSame(good.store, result.reference);
    },
  );

  test('is complete although a signal comes while it is copied to a store in which it was given up', async () => {
    await using bench = await makeBench();
    const cut = new AbortController();
    const good = named('good');
    let claims = 0;
    const bad = altered('bad', {
      begin: async (key) => {
        if (key.endsWith('/disk0.zst')) throw unavailable;
        if (key.endsWith('/export.claim') && (claims += 1) === 2) cut.abort(new Error('cut off'));
      },
    });
    const result = await bench.tee([good, bad], { signal: cut.signal });
    expect(result.stores).toEqual([
      { store: 'good', outcome: 'exported' },
      {
        store: 'bad',
        outcome: 'failed',
        code: 'STORE_UNAVAILABLE',
        reason: 'store bad: the network is down',
        copyReason: 'store bad: cut off',
      },
    ]);
    await expectEmpty(bad);
    await bench.expectSame(good.store, result.reference);
  });

  test('fails with the reason of a signal that comes while one of the stores is claimed, and leaves nothing', async () => {
    await using bench = await makeBench();
    const cut = new AbortController();
    const good = named('good');
    const begin = async (key: string, o?: BeginOptions): Promise<void> => {
      if (!key.endsWith('/export.claim')) return;
      cut.abort(new Error('cut off'));
      await untilAborted(o?.signal);
    };
    const bad = altered('bad', { begin });
    await expect(bench.tee([good, bad], { native: NATIVE, signal: cut.signal })).rejects.toThrow('cut off');
    for (const store of [good, bad]) await expectEmpty(store);
  });

  test.each([
    ['cannot be claimed again', 'STORE_UNAVAILABLE'],
    ['keeps the first claim', 'BUSY'],
  ] as const)('is given up in a store that %s after a parent was passed over', async (what, code) => {
    await using bench = await makeBench();
    let night = 1;
    let claims = 0;
    const denied = new StoreError('denied', { message: 'nothing can be removed' });
    const a = altered('a', {
      read: async (key) => {
        if (night === 2 && key.includes('.map')) throw unavailable;
      },
    });
    const b = altered('b', {
      begin: async (key) => {
        if (night === 2 && code !== 'BUSY' && key.endsWith('/export.claim') && (claims += 1) > 1) throw unavailable;
      },
      remove: async () => {
        if (night === 2 && code === 'BUSY') throw denied;
      },
    });
    const c = named('c');
    const first = await bench.tee([a, b, c], { incremental: true });
    night = 2;
    await bench.change();
    const second = await bench.tee([a, b, c], { incremental: true });
    expect(second.reference).not.toBe(first.reference);
    expect(second.stores, what).toMatchObject([
      { store: 'a', outcome: 'exported' },
      { store: 'b', outcome: 'failed', code, copyReason: expect.any(String) },
      { store: 'c', outcome: 'exported' },
    ]);
    expect(b.memory.unfinished.size).toBe(0);
    for (const { store } of [a, c]) await bench.expectSame(store, second.reference);
  });

  test('has a dry run that says in which of the stores it would fail, and fails if it would in all', async () => {
    await using bench = await makeBench();
    const stores = [named('a', [{ on: 'list', error: unavailable }]), named('b')];
    const request = {
      instance: bench.instance,
      stateDirectory: bench.directory.file('state'),
      snapshot: 'none',
      createStore: true,
    } as const;
    const plan = (): Promise<DryRun> =>
      planExport({ ...request, store: stores[0]?.store ?? bench.store, alsoInto: stores.slice(1).map(({ store }) => store) });
    const { checks } = await plan();
    expect(checks.filter(({ check }) => check === 'store')).toEqual([
      { check: 'store', says: 'store a: the network is down', code: 'STORE_UNAVAILABLE' },
      { check: 'store', says: 'b will be created' },
    ]);
    stores.pop();
    await expect(plan()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
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
            await untilAborted(call?.signal);
          }
        },
      };
    },
  };
}
