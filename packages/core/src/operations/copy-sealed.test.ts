import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { alterStore, StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test, vi } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { getBytes, keysOf, put } from '../../test/sample-export.ts';
import { deadClaim } from '../../test/lineage-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { removeExport } from '../exports/remove-export.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { addKeys } from './add-keys.ts';
import { consolidateExport } from './consolidate.ts';
import { copyFromStore } from './copy.ts';
import { listStore } from './list-store.ts';
import { mirrorStore } from './mirror.ts';
import { pruneStore } from './prune.ts';
import { tagExport } from './tag.ts';
import { verifyStore } from './verify-store.ts';
import { verifyExport } from './verify.ts';

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());

function opened(store: Store): Store {
  return withUnsealer(store, identityUnsealer(identities));
}

async function newStore(memory = new Memory()): Promise<Store> {
  const store = new MemoryStore(memory);
  await initializeStore(store);
  return store;
}

interface Lineage extends AsyncDisposable {
  readonly bench: OperationBench;
  readonly store: Store;
  /** References, the oldest first. */
  readonly days: readonly string[];
  /** Of the last day. */
  readonly disks: readonly Buffer[];
}

/** Three sealed exports of two disks: disk 0 stays as it is, disk 1 is another one each day. */
async function sealedLineage(): Promise<Lineage> {
  const store = await newStore();
  const bench = await makeOperationBench({ disks: 2, store: opened(store) });
  const paths = bench.instance.disks.map(({ path = '' }) => path);
  const days: string[] = [];
  for (const day of [1, 2, 3]) {
    await writeFile(paths[1] ?? '', Buffer.alloc(64 * 1024, `day ${day} `));
    days.push((await bench.exportDisks({ recipients, incremental: true })).reference);
  }
  const disks = await Promise.all(paths.map((path) => readFile(path)));
  return { bench, store, days, disks, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
}

function below(reference: string | undefined): string {
  return `${(reference ?? '').replace('@', '/')}/`;
}

async function keysBelow(store: Store, reference: string | undefined): Promise<readonly string[]> {
  const prefix = below(reference);
  return (await keysOf(store)).filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
}

/** Everything in one store is byte by byte in the other one. */
async function expectSame(one: Store, other: Store, reference: string | undefined): Promise<void> {
  const keys = await keysBelow(one, reference);
  expect(await keysBelow(other, reference)).toEqual(keys);
  for (const key of keys) {
    const [copy, original] = [await getBytes(other, `${below(reference)}${key}`), await getBytes(one, `${below(reference)}${key}`)];
    expect(copy.equals(original), key).toBe(true);
  }
}

async function expectLast(store: Store, { bench, days, disks }: Lineage): Promise<void> {
  const reference = days.at(-1) ?? '';
  await verifyExport({ store, export: reference, depth: 'stored' });
  await verifyExport({ store: opened(store), export: reference, depth: 'frames' });
  const paths = bench.instance.disks.map(({ path = '' }) => path);
  for (const path of paths) await writeFile(path, Buffer.alloc(64 * 1024));
  await bench.importDisks(reference, { store: opened(store), yes: true });
  for (const [disk, path] of paths.entries()) expect((await readFile(path)).equals(disks[disk] ?? Buffer.of())).toBe(true);
}

describe('without keys, a sealed lineage', () => {
  test('is mirrored object by object, and not sent again', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const target = await newStore();
    const first = await mirrorStore({ source: store, target });
    expect(first.exports.map(({ reference, outcome }) => [reference, outcome])).toEqual(days.map((reference) => [reference, 'copied']));
    for (const reference of days) await expectSame(store, target, reference);
    await expect(mirrorStore({ source: store, target })).resolves.toMatchObject({ exports: [], present: 3, sentBytes: 0 });
    for (const reference of days)
      await expect(copyFromStore({ source: store, export: reference, target })).resolves.toMatchObject({
        outcome: 'present',
        sentBytes: 0,
      });
    await expectLast(target, lineage);
  });

  test('is copied from its end: the packs of exports that the target lacks are there as of removed ones', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const target = await newStore();
    await copyFromStore({ source: store, export: days[2] ?? '', target });
    expect(await keysBelow(target, days[0])).toEqual(['brought.json.age', 'disk0.zst.age', 'removed.json']);
    expect(await keysBelow(target, days[1])).toEqual([]);
    await expectSame(store, target, days[2]);
    await expectLast(target, lineage);
    const { exports, removed } = await listStore({ store: target });
    expect(exports).toMatchObject([{ reference: days[2], state: 'complete' }]);
    expect(removed).toMatchObject([{ reference: days[0] }]);
    // The next one uses what is there, and no prune takes it away.
    const reads: string[] = [];
    const watched = watchedStore(target, { before: (call) => void reads.push(call) });
    await copyFromStore({ source: store, export: days[1] ?? '', target: watched });
    expect(reads.filter((call) => /^read .*disk0\.zst\.age$/.test(call))).toEqual([]);
    await pruneStore({ store: target, policy: {} });
    await pruneStore({ store: target, policy: {} });
    await expectSame(store, target, days[1]);
    await expectLast(target, lineage);
  });

  test('is copied although its first export was removed at the source', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    await removeExport(store, days[0] ?? '');
    const target = await newStore();
    await expect(mirrorStore({ source: store, target })).resolves.toMatchObject({
      exports: [{ outcome: 'copied' }, { outcome: 'copied' }],
    });
    await expectLast(target, lineage);
  });

  test('is refused where another pack has the place, and what was brought goes away again', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const target = await newStore();
    await copyFromStore({ source: store, export: days[2] ?? '', target });
    await removeExport(target, days[2] ?? '');
    expect(await keysBelow(target, days[2])).toEqual([]);
    await pruneStore({ store: target, policy: {} });
    await pruneStore({ store: target, policy: {} });
    expect(await keysBelow(target, days[0])).toEqual([]);

    const key = `${below(days[0])}disk0.zst.age`;
    const bytes = await getBytes(store, key);
    await put(target, key, Buffer.alloc(bytes.length));
    await put(target, `${below(days[0])}removed.json`, '{}');
    await expect(copyFromStore({ source: store, export: days[2] ?? '', target })).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
    expect(await keysBelow(target, days[2])).toEqual([]);

    const empty = await newStore();
    await store.remove([`${below(days[2])}disk1.pack.zst.age`]);
    await expect(copyFromStore({ source: store, export: days[2] ?? '', target: empty })).rejects.toMatchObject({ code: 'DUMP_MISSING' });
    expect((await keysOf(empty)).filter((name) => name.startsWith(lineage.bench.instance.name))).toEqual([]);
  });

  test('is verified by its digests with the whole store, which finds damage in each kind of file', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const sound = await verifyStore({ store, depth: 'frames' });
    expect(sound).toMatchObject({ damaged: 0, unreadable: 0, warnings: [expect.stringMatching(/^3 sealed exports are verified by/)] });
    expect(await listStore({ store })).toMatchObject({ exports: days.map(() => ({ verified: { depth: 'stored', result: 'sound' } })) });
    await expect(verifyStore({ store: opened(store), depth: 'frames' })).resolves.toMatchObject({ damaged: 0, warnings: [] });
    for (const [name, code] of [
      ['disk0.map.age', 'MAP_DAMAGED'],
      ['sealed.json.age', 'MANIFEST_DAMAGED'],
      ['disk1.pack.zst.age', 'DUMP_DAMAGED'],
    ] as const) {
      const memory = new Memory();
      const copy = await newStore(memory);
      await mirrorStore({ source: store, target: copy });
      const key = `${below(days[1])}${name}`;
      const object = memory.objects.get(key);
      if (object === undefined) throw new Error(`${key} is missing`);
      const bytes = Buffer.from(object.bytes);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
      memory.objects.set(key, { ...object, bytes });
      const found = await verifyStore({ store: copy });
      expect(found.exports[0]).toMatchObject({ reference: days[1], result: 'damaged', code });
      await expect(mirrorStore({ source: copy, target: await newStore() })).resolves.toMatchObject({
        exports: expect.arrayContaining([expect.objectContaining({ outcome: 'failed', code })]),
      });
    }
  });

  test('brings no packs of another instance, unless they are asked for: its places could be taken', async () => {
    await using lineage = await sealedLineage();
    const { store, bench, days } = lineage;
    const name = 'clone.example.com';
    const made = await bench.exportDisks({
      instance: { ...bench.instance, name },
      base: days[2],
      recipients,
      incremental: true,
    });
    const target = await newStore();
    const before = await keysOf(target);
    const request = { source: store, export: made.reference, target };
    await expect(copyFromStore(request)).rejects.toMatchObject({
      code: 'EXPORT_NOT_FOUND',
      message: expect.stringMatching(/another instance/),
    });
    await expect(mirrorStore({ source: store, target, instances: [name] })).resolves.toMatchObject({
      exports: [{ reference: made.reference, outcome: 'failed', code: 'EXPORT_NOT_FOUND' }],
    });
    expect(await keysOf(target)).toEqual(before);
    await copyFromStore({ ...request, packsOf: [bench.instance.name] });
    await verifyExport({ store: opened(target), export: made.reference, depth: 'frames' });
    // Where the exports are that they are of, nothing of other instances is written.
    const whole = await newStore();
    await mirrorStore({ source: store, target: whole, instances: [bench.instance.name] });
    await expect(mirrorStore({ source: store, target: whole, instances: [name] })).resolves.toMatchObject({
      exports: [{ outcome: 'copied' }],
    });
  });

  test('is refused for packs of another instance before any of its own are sent', async () => {
    const store = await newStore();
    await using bench = await makeOperationBench({ disks: 3, store: opened(store) });
    const change = (disk: number): Promise<void> =>
      writeFile(bench.instance.disks[disk]?.path ?? '', Buffer.alloc(64 * 1024, `disk ${disk} `));
    const base = await bench.exportDisks({ recipients, incremental: true });
    // The packs of its own come first in the manifest.
    const instance = { ...bench.instance, name: 'a-clone.example.com' };
    await change(0);
    await bench.exportDisks({ instance, base: base.reference, recipients, incremental: true });
    await change(1);
    const made = await bench.exportDisks({ instance, recipients, incremental: true });
    const target = await newStore();
    const calls: string[] = [];
    const watched = watchedStore(target, { before: (call) => void calls.push(call) });
    await expect(copyFromStore({ source: store, export: made.reference, target: watched })).rejects.toMatchObject({
      code: 'EXPORT_NOT_FOUND',
    });
    expect(calls.filter((call) => /^begin .*\.age$/.test(call))).toEqual([]);
    // It is not the order of the manifest that decides.
    await copyFromStore({ source: store, export: made.reference, target: watched, packsOf: [bench.instance.name] });
    expect(calls.filter((call) => call.startsWith('begin a-clone') && call.endsWith('.age')).length).toBeGreaterThan(1);
  });

  test('is refused for what is at the place of any of the packs before one of them is sent', async () => {
    const store = await newStore();
    await using bench = await makeOperationBench({ disks: 3, store: opened(store) });
    const days: string[] = [];
    for (const disk of [1, 2, 0]) {
      days.push((await bench.exportDisks({ recipients, incremental: true })).reference);
      await writeFile(bench.instance.disks[disk]?.path ?? '', Buffer.alloc(64 * 1024, `disk ${disk} `));
    }
    // It needs a pack of the first, which is sent, and one of the second.
    const [, second, last = ''] = days;
    const pack = `${below(second)}disk1.pack.zst.age`;
    const removed: readonly [string, string] = [`${below(second)}removed.json`, '{}'];
    for (const [code, objects] of [
      ['EXPORT_EXISTS', [[pack, 'another pack'], removed]],
      ['EXPORT_EXISTS', [[pack, 'a pack of nothing']]],
      ['BUSY', [[pack, await getBytes(store, pack)], [`${below(second)}disk1.pack.zst.age.unused`, ''], removed]],
      ['BUSY', [[`${below(second)}export.claim`, 'of somebody unknown']]],
    ] as const) {
      const target = await newStore();
      for (const [key, content] of objects) await put(target, key, Buffer.from(content));
      const calls: string[] = [];
      const watched = watchedStore(target, { before: (call) => void calls.push(call) });
      await expect(copyFromStore({ source: store, export: last, target: watched })).rejects.toMatchObject({ code });
      expect(calls.filter((call) => /^begin .*\.age$/.test(call))).toEqual([]);
    }
    await copyFromStore({ source: store, export: last, target: await newStore() });
  });

  test('is not consolidated, but its full export needs no consolidation', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const before = await keysOf(store);
    await expect(consolidateExport({ store, export: days[2] ?? '', recipients })).rejects.toMatchObject({
      code: 'IDENTITY_NEEDED',
      hint: expect.stringContaining('gantry export'),
    });
    await expect(consolidateExport({ store, export: days[0] ?? '' })).resolves.toMatchObject({ consolidated: false });
    expect(await keysOf(store)).toEqual(before);
  });

  test('continues a copy that was interrupted while it brought packs', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    for (const at of ['disk0.zst.age', 'brought.json.age', 'disk1.pack.zst.age', 'sealed.json.age', 'manifest.json']) {
      const memory = new Memory();
      const target = await newStore(memory);
      const stop = new AbortController();
      const stopping = watchedStore(target, {
        before: (call) => {
          if (call.startsWith('commit ') && call.endsWith(at)) stop.abort(new Error('stopped'));
          stop.signal.throwIfAborted();
        },
      });
      const copying = copyFromStore({ source: store, export: days[2] ?? '', target: stopping, signal: stop.signal });
      await expect(copying).rejects.toThrow('stopped');
      buryClaims(memory);
      await copyFromStore({ source: store, export: days[2] ?? '', target });
      await expectSame(store, target, days[2]);
      await expectLast(target, lineage);
    }
  });
});

test('a copy that goes on renews the locks of what had arrived before', async () => {
  await using lineage = await sealedLineage();
  const { store, days } = lineage;
  const [reference = ''] = days;
  const memory = new Memory();
  const target = await newStore(memory);
  const stop = new AbortController();
  const stopping = watchedStore(target, {
    before: (call) => {
      if (call.startsWith('commit ') && call.endsWith('SHA256SUMS')) stop.abort(new Error('stopped'));
      stop.signal.throwIfAborted();
    },
  });
  const copying = copyFromStore({ source: store, export: reference, target: stopping, signal: stop.signal });
  await expect(copying).rejects.toThrow('stopped');
  buryClaims(memory);
  const arrived = (await keysBelow(target, reference)).filter((name) => name !== 'export.claim');
  expect(arrived).toContain('disk0.zst.age');
  const locked: string[] = [];
  const locking: Store = { ...alterStore(target, {}), protect: async (key) => void locked.push(key) };
  await copyFromStore({ source: store, export: reference, target: locking });
  expect(locked.toSorted()).toEqual(arrived.map((name) => `${below(reference)}${name}`).toSorted());
});

/** Adds recipients, who can read all of it then. @param keysOf the references of the exports whose keys they get */
async function expectAdding(store: Store, reference: string, keysOf?: readonly (string | undefined)[]): Promise<void> {
  const added = Identities.parse(await generateX25519Identity());
  const { exports } = await addKeys({ store: opened(store), exports: [reference], recipients: await added.recipients() });
  if (keysOf !== undefined) expect(exports).toMatchObject([{ keysOf }]);
  await verifyExport({ store: withUnsealer(store, identityUnsealer(added)), export: reference, depth: 'frames' });
}

describe('where a copy brought packs of an earlier sealed export', () => {
  test('recipients can be added to it, also in a copy of that copy, and a damaged key is said to be that', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const [far, farther] = [await newStore(), await newStore()];
    const exported = days[2] ?? '';
    await copyFromStore({ source: store, export: exported, target: far });
    await copyFromStore({ source: far, export: exported, target: farther });
    for (const each of [far, farther]) await expectAdding(each, exported, [exported, days[0]]);
    const part = `${below(days[0])}brought.json.age`;
    for (const bad of ['', 'age', (await getBytes(store, `${below(days[1])}sealed.json.age`)).toString('latin1')]) {
      await put(far, part, Buffer.from(bad, 'latin1'));
      await expect(expectAdding(far, exported)).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
    }
    await far.remove([part]);
    await expect(expectAdding(far, exported)).rejects.toMatchObject({ code: 'USAGE' });
    // The next copy that needs it brings it.
    await removeExport(far, exported);
    await copyFromStore({ source: store, export: exported, target: far });
    await expectAdding(far, exported, [exported, days[0]]);
  });

  test('recipients can be added to later exports there, also after the copy was removed, until the packs go', async () => {
    await using lineage = await sealedLineage();
    const { store, bench, days } = lineage;
    const far = await newStore();
    await copyFromStore({ source: store, export: days[2] ?? '', target: far });
    // The first store is lost: the host goes on with this one.
    await writeFile(bench.instance.disks[1]?.path ?? '', Buffer.alloc(64 * 1024, 'day 4 '));
    const later = (await bench.exportDisks({ store: opened(far), recipients, incremental: true })).reference;
    await expectAdding(far, later, [later, days[0]]);
    await removeExport(far, days[2] ?? '');
    await pruneStore({ store: far, policy: {} });
    await pruneStore({ store: far, policy: {} });
    await expectAdding(far, later, [later, days[0]]);
    await removeExport(far, later);
    await pruneStore({ store: far, policy: {} });
    await pruneStore({ store: far, policy: {} });
    expect((await keysOf(far)).filter((key) => key.startsWith(`${bench.instance.name}/`))).toEqual([]);
  });

  test.each([
    ['cannot be read', 'permission denied'],
    ['is too large', 'it is too large'],
  ])('a key that %s is left out, which is said', async (_what, why) => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const key = `${below(days[0])}sealed.json.age`;
    const source = alterStore(store, {
      read: async (each, options) => {
        if (each !== key) return await store.read(each, options);
        if (why === 'permission denied') throw new StoreError('denied', { message: why, key });
        const read = await store.read(each, options);
        return new Proxy(read, {
          get: (object, name) => {
            const value: unknown = name === 'objectSize' ? 64 * 1024 ** 2 : Reflect.get(object, name, object);
            return typeof value === 'function' ? value.bind(object) : value;
          },
        });
      },
    });
    const target = await newStore();
    const { warnings } = await copyFromStore({ source, export: days[2] ?? '', target });
    expect(warnings).toEqual([expect.stringMatching(`^the key of ${days[0]} is not copied.*${why}`)]);
    expect(await keysBelow(target, days[0])).toEqual(['disk0.zst.age', 'removed.json']);
  });

  test('that export is copied later, with what was brought, and is then as any other', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const target = await newStore();
    await copyFromStore({ source: store, export: days[2] ?? '', target });
    expect(await keysBelow(target, days[0])).toEqual(['brought.json.age', 'disk0.zst.age', 'removed.json']);
    const calls: string[] = [];
    const watched = watchedStore(target, { before: (call) => void calls.push(call) });
    await expect(copyFromStore({ source: store, export: days[0] ?? '', target: watched })).resolves.toMatchObject({ outcome: 'copied' });
    expect(calls.filter((call) => /^(begin|read|commit) .*disk0\.zst\.age$/.test(call))).toEqual([]);
    await copyFromStore({ source: store, export: days[1] ?? '', target });
    for (const reference of days) await expectSame(store, target, reference);
    await expectLast(target, lineage);
    // What its own retention removes after that is not brought back.
    await removeExport(target, days[0] ?? '');
    await expect(mirrorStore({ source: store, target, withOlder: true })).resolves.toMatchObject({ exports: [], older: 1 });
    await expect(copyFromStore({ source: store, export: days[0] ?? '', target })).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
  });

  test('a mirror with older ones copies the history, and the newest export that was brought is not taken for one that was removed', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const target = await newStore();
    await copyFromStore({ source: store, export: days[2] ?? '', target });
    await expect(mirrorStore({ source: store, target })).resolves.toMatchObject({ exports: [], older: 2 });
    await expect(mirrorStore({ source: store, target, withOlder: true })).resolves.toMatchObject({
      exports: [{ outcome: 'copied' }, { outcome: 'copied' }],
      older: 0,
    });
    for (const reference of days) await expectSame(store, target, reference);

    const packs = await newStore();
    const key = `${below(days[1])}disk1.pack.zst.age`;
    await put(packs, key, await getBytes(store, key));
    await put(packs, `${below(days[1])}removed.json`, '{}');
    const { exports } = await mirrorStore({ source: store, target: packs });
    expect(exports.map(({ reference, outcome }) => [reference, outcome])).toEqual(days.map((reference) => [reference, 'copied']));
    for (const reference of days) await expectSame(store, packs, reference);
  });

  test('its copy is refused if they are other packs, or are being removed; if it fails, they stay', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const target = await newStore();
    await copyFromStore({ source: store, export: days[2] ?? '', target });
    const before = await keysBelow(target, days[0]);
    const memory = new Memory();
    const broken = await newStore(memory);
    await mirrorStore({ source: store, target: broken });
    memory.objects.delete(`${below(days[0])}sealed.json.age`);
    await expect(copyFromStore({ source: broken, export: days[0] ?? '', target })).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
    // Others may have seen the pack that had arrived.
    expect(await keysBelow(target, days[0])).toEqual(['brought.json.age', 'disk0.zst.age', 'disk1.zst.age', 'removed.json']);
    await pruneStore({ store: target, policy: {} });
    await pruneStore({ store: target, policy: {} });
    expect(await keysBelow(target, days[0])).toEqual(before);
    await expectLast(target, lineage);

    const key = `${below(days[0])}disk0.zst.age`;
    await put(target, `${key}.unused`, '{}');
    await expect(copyFromStore({ source: store, export: days[0] ?? '', target })).rejects.toMatchObject({ code: 'BUSY' });
    const other = await newStore();
    await put(other, key, Buffer.alloc((await getBytes(store, key)).length));
    await put(other, `${below(days[0])}removed.json`, '{}');
    await expect(copyFromStore({ source: store, export: days[0] ?? '', target: other })).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
    expect(await keysBelow(other, days[0])).toEqual(['disk0.zst.age', 'removed.json']);
  });

  test('a removal that marks them while they are completed takes nothing that the export needs', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    for (const at of ['export.claim', 'disk1.zst.age', 'manifest.json']) {
      const each = await newStore();
      const key = `${below(days[0])}disk0.zst.age`;
      await put(each, key, await getBytes(store, key));
      await put(each, `${below(days[0])}removed.json`, '{}');
      let isPruned = false;
      const pruned = watchedStore(each, {
        before: async (call) => {
          if (isPruned || !call.startsWith('commit ') || !call.endsWith(`${below(days[0])}${at}`)) return;
          isPruned = true;
          await pruneStore({ store: each, policy: {} });
          await pruneStore({ store: each, policy: {} });
        },
      });
      const copied = await copyFromStore({ source: store, export: days[0] ?? '', target: pruned }).catch((error: unknown) => error);
      expect(isPruned).toBe(true);
      // Before the claim, they are gone when it is looked for them; after it, they stay.
      expect(copied).toMatchObject(at === 'export.claim' ? { code: 'BUSY' } : { outcome: 'copied' });
      await copyFromStore({ source: store, export: days[0] ?? '', target: each });
      await expectSame(store, each, days[0]);
      await verifyExport({ store: opened(each), export: days[0] ?? '', depth: 'frames' });
    }
  });

  test('its copy goes on after it was interrupted at any file, and nothing is sent twice', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    for (const [at, when] of [
      ['disk1.zst.age', 'before'],
      ['sealed.json.age', 'before'],
      ['SHA256SUMS', 'before'],
      ['manifest.json', 'before'],
      ['manifest.json', 'after'],
    ] as const) {
      const memory = new Memory();
      const target = await newStore(memory);
      await copyFromStore({ source: store, export: days[2] ?? '', target });
      const stop = new AbortController();
      const halt = (call: string): void => {
        if (call === `commit ${below(days[0])}${at}`) stop.abort(new Error('stopped'));
        stop.signal.throwIfAborted();
      };
      const stopping = watchedStore(target, { [when]: halt });
      const copying = copyFromStore({ source: store, export: days[0] ?? '', target: stopping, signal: stop.signal });
      await expect(copying).rejects.toThrow('stopped');
      expect(await keysBelow(target, days[0])).toContain('export.claim');
      await verifyExport({ store: opened(target), export: days[2] ?? '', depth: 'frames' });
      buryClaims(memory);
      await copyFromStore({ source: store, export: days[0] ?? '', target });
      await expectSame(store, target, days[0]);
      await expectLast(target, lineage);
    }
  });
});

test('packs that a copy added to those of a removed export go again if it fails for good', async () => {
  const store = await newStore();
  await using bench = await makeOperationBench({ disks: 2, store: opened(store) });
  const first = (await bench.exportDisks({ recipients, incremental: true })).reference;
  const second = (await bench.exportDisks({ recipients, incremental: true })).reference;
  const target = await newStore();
  const key = `${below(first)}disk0.zst.age`;
  await put(target, key, await getBytes(store, key));
  await put(target, `${below(first)}removed.json`, '{}');
  await store.remove([`${below(second)}sealed.json.age`]);
  const sent: string[] = [];
  const watched = watchedStore(target, { before: (call) => void sent.push(call) });
  await expect(copyFromStore({ source: store, export: second, target: watched })).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
  expect(sent).toContain(`commit ${below(first)}disk1.zst.age`);
  expect(await keysBelow(target, first)).toEqual([]);
});

describe('what an export got after it was copied', () => {
  test('comes to the copy: keys with the next copy or mirror, labels where the copy has none of its own', async () => {
    await using lineage = await sealedLineage();
    const { store, days } = lineage;
    const [, , last = ''] = days;
    const fresh = Identities.parse(await generateX25519Identity());
    for (const again of [
      async (target: Store) => expect(await copyFromStore({ source: store, export: last, target })).toMatchObject({ outcome: 'present' }),
      async (target: Store) => expect(await mirrorStore({ source: store, target })).toMatchObject({ exports: [], present: 1 }),
    ]) {
      const target = await newStore();
      await copyFromStore({ source: store, export: last, target });
      const had = (await keysBelow(target, last)).filter((name) => name.startsWith('keys-')).length;
      await addKeys({ store: opened(store), exports: [last], recipients: await fresh.recipients() });
      await tagExport({ store, export: last, add: ['keep'] });
      await again(target);
      expect((await keysBelow(target, last)).filter((name) => name.startsWith('keys-'))).toHaveLength(had + 1);
      await expect(
        verifyExport({ store: withUnsealer(target, identityUnsealer(fresh)), export: last, depth: 'frames' }),
      ).resolves.toMatchObject({ reference: last });
      expect((await listStore({ store: target })).exports).toMatchObject([{ reference: last, tags: ['keep'] }]);
      const before = await keysOf(target);
      await again(target);
      expect(await keysOf(target)).toEqual(before);
      await tagExport({ store, export: last, remove: ['keep'] });
      await again(target);
      expect((await listStore({ store: target })).exports).toMatchObject([{ tags: ['keep'] }]);
    }
  });
});

/** The claims that are there are those of a process that has ended. */
function buryClaims({ objects }: Memory): void {
  for (const [key, object] of objects)
    if (key.endsWith('export.claim'))
      objects.set(key, { ...object, bytes: Buffer.from(object.bytes.toString().replace(/"startTime": \d+/, '"startTime": 1')) });
}

test('an unsealed copy does not refer to sealed exports at its target', async () => {
  await using lineage = await sealedLineage();
  const { bench, store } = lineage;
  const plain = await newStore();
  // Within the same second, it would have the id of the last sealed one.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2000 });
  const { reference } = await bench.exportDisks({ store: plain, incremental: true }).finally(() => vi.useRealTimers());
  await expect(copyFromStore({ source: plain, export: reference, target: store })).resolves.toMatchObject({ outcome: 'copied' });
  await expect(verifyExport({ store, export: reference })).resolves.toMatchObject({ reference });
});

test('what a killed copy of an export left beside packs that were brought is cleared, and the next copy and mirror find them alone', async () => {
  await using lineage = await sealedLineage();
  const { store, days } = lineage;
  const target = await newStore();
  await copyFromStore({ source: store, target, export: days[2] ?? '' });
  const brought = await keysBelow(target, days[0]);
  expect(brought).toContain('removed.json');
  for (const name of ['disk0.map.age', 'sealed.json.age']) {
    expect(await keysBelow(store, days[0])).toContain(name);
    await put(target, `${below(days[0])}${name}`, await getBytes(store, `${below(days[0])}${name}`));
  }
  const claim = JSON.stringify({ ...JSON.parse(await deadClaim()), copies: 'a'.repeat(64) });
  await put(target, `${below(days[0])}export.claim`, claim);
  for (const unfinished of await findUnfinished(target)) expect(await clearUnfinished(target, unfinished)).toBe('cleared');
  expect(await keysBelow(target, days[0])).toEqual(brought);
  await copyFromStore({ source: store, target, export: days[0] ?? '' });
  await expectSame(store, target, days[0]);
});
