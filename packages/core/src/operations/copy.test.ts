import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf, put, sampleHeader, sampleManifest, writeDump, writeExport } from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { storeSink } from '../exports/store-sink.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import type { CopyResult } from './copy.ts';
import { copyFromStore } from './copy.ts';
import { verifyExport } from './verify.ts';

const NAME = 'web1.example.com';
const REFERENCE = `${NAME}@20261123T081500Z`;
const PREFIX = `${NAME}/20261123T081500Z/`;
const CONTENTS = ['first disk', 'second disk'];

async function newStore(memory = new Memory()): Promise<MemoryStore> {
  const store = new MemoryStore(memory);
  await initializeStore(store);
  return store;
}

async function sampleSource(contents: readonly string[] = CONTENTS): Promise<MemoryStore> {
  const store = new MemoryStore();
  await writeExport(store, contents);
  return store;
}

function copy(source: Store, target: Store, signal?: AbortSignal): Promise<CopyResult> {
  return copyFromStore({ source, export: REFERENCE, target, signal });
}

async function expectEqualExports(one: Store, other: Store): Promise<void> {
  const keys = await keysOf(one, PREFIX);
  expect(await keysOf(other, PREFIX)).toEqual(keys);
  for (const key of keys) expect((await getBytes(one, key)).equals(await getBytes(other, key)), key).toBe(true);
}

/** As when the process that made the claim was killed: its stores are gone, too. */
async function killOwner(store: MemoryStore, memory: Memory): Promise<void> {
  await store[Symbol.asyncDispose]();
  const other = new MemoryStore(memory);
  const claim = await get(other, `${PREFIX}export.claim`);
  await put(other, `${PREFIX}export.claim`, claim.replace(/"startTime": \d+/, '"startTime": 1'));
}

describe('a copy of a full export', () => {
  test('has the same objects under the same id, and no claim', async () => {
    const source = await sampleSource();
    const target = await newStore();
    expect(await copy(source, target)).toMatchObject({ reference: REFERENCE, outcome: 'copied', warnings: [] });
    await expectEqualExports(source, target);
    await expect(verifyExport({ store: target, export: NAME })).resolves.toMatchObject({ checksums: true });
  });

  test('of an instance with real disks is imported equal', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { reference, storedBytes } = await bench.exportDisks();
    const target = await newStore();
    const { sentBytes } = await copyFromStore({ source: bench.store, export: reference, target });
    expect(sentBytes).toBeGreaterThan(storedBytes);
    await expect(verifyExport({ store: target, export: reference })).resolves.toMatchObject({ checksums: true });
  });

  test('takes native files along, secret ones too', async () => {
    const source = new MemoryStore();
    {
      await using writer = await storeSink(source, { createStore: true }).open(sampleHeader);
      await writer.native({ name: 'domain.xml', secret: false, bytes: Buffer.from('<domain/>') });
      await writer.native({ name: 'tpm.state', secret: true, bytes: Buffer.from([0, 255, 1]) });
      await writer.commit(sampleManifest(writer.id, [await writeDump(writer, 0, 'first disk')]));
    }
    const target = await newStore();
    await copy(source, target);
    await expectEqualExports(source, target);
    expect(await keysOf(target, PREFIX)).toContain(`${PREFIX}native-tpm.state`);
  });

  test('of a manifest of version 1 keeps that manifest', async () => {
    const source = await sampleSource();
    const { frameTables: _tables, ...manifest } = JSON.parse(await get(source, `${PREFIX}manifest.json`));
    await put(source, `${PREFIX}manifest.json`, JSON.stringify({ ...manifest, version: 1 }));
    await source.remove([`${PREFIX}frames.table`]);
    const target = await newStore();
    await copy(source, target);
    expect(await get(target, `${PREFIX}manifest.json`)).toBe(await get(source, `${PREFIX}manifest.json`));
    await expect(verifyExport({ store: target, export: NAME })).resolves.toMatchObject({ checksums: true });
  });

  test('is not made again where it is', async () => {
    const source = await sampleSource();
    const target = await newStore();
    await copy(source, target);
    const calls: StoreCall[] = [];
    const watched = watchedStore(target, { before: (call) => void calls.push(call) });
    expect(await copy(source, watched)).toMatchObject({ outcome: 'present', sentBytes: 0 });
    expect(calls.filter((call) => !/^(stat|read|list)/.test(call))).toEqual([]);
  });

  test('goes into a store alone', async () => {
    await expect(copy(await sampleSource(), new MemoryStore())).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });
});

describe('the place of a copy', () => {
  test.each([
    ['other disks', ['first disk', 'another one']],
    ['fewer disks', ['first disk']],
  ])('with another export that has %s is refused, and stays as it is', async (_what, contents) => {
    const source = await sampleSource();
    const target = await sampleSource(contents);
    const before = await get(target, `${PREFIX}manifest.json`);
    await expect(copy(source, target)).rejects.toMatchObject({ code: 'EXPORT_EXISTS', message: expect.stringContaining(REFERENCE) });
    expect(await get(target, `${PREFIX}manifest.json`)).toBe(before);
    expect(await keysOf(target, PREFIX)).not.toContain(`${PREFIX}export.claim`);
  });

  test('with other files is refused', async () => {
    const target = await newStore();
    await put(target, `${PREFIX}disk0.img`, 'mine');
    await expect(copy(await sampleSource(), target)).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
    expect(await keysOf(target)).toEqual([`${PREFIX}disk0.img`]);
  });

  test('that a running export has claimed is busy', async () => {
    const target = await newStore();
    await using writer = await storeSink(target).open(sampleHeader);
    expect(writer.reference).toBe(REFERENCE);
    await expect(copy(await sampleSource(), target)).rejects.toMatchObject({
      code: 'BUSY',
      hint: expect.stringContaining(`gantry clean memory: --export ${REFERENCE}`),
    });
  });

  test('of a killed export is cleared first', async () => {
    const memory = new Memory();
    const dying = await newStore(memory);
    await writeDump(await storeSink(dying).open(sampleHeader), 0, 'of the killed one');
    await killOwner(dying, memory);
    const source = await sampleSource();
    const target = new MemoryStore(memory);
    expect((await copy(source, target)).warnings).toEqual([expect.stringContaining('cleared what a killed run left')]);
    await expectEqualExports(source, target);
  });
});

describe('a source that lies', () => {
  const objects = [
    ['disk0.img', 'DUMP_DAMAGED', 'DUMP_MISSING'],
    ['frames.table', 'MANIFEST_DAMAGED', 'MANIFEST_DAMAGED'],
  ] as const;

  test.each(objects)('about %s is found out, and nothing is left at the target', async (name, damaged, missing) => {
    for (const [change, code] of [
      [(bytes: Buffer) => Buffer.concat([bytes.subarray(1), Buffer.from('x')]), damaged],
      [(bytes: Buffer) => bytes.subarray(1), damaged],
      [(bytes: Buffer) => Buffer.concat([bytes, bytes]), damaged],
      [() => undefined, missing],
    ] as const) {
      const source = await sampleSource();
      const bytes = change(await getBytes(source, `${PREFIX}${name}`));
      if (bytes === undefined) await source.remove([`${PREFIX}${name}`]);
      else await put(source, `${PREFIX}${name}`, bytes);
      const memory = new Memory();
      const target = await newStore(memory);
      await expect(copy(source, target)).rejects.toMatchObject({ code, message: expect.stringContaining(name) });
      expect({ keys: await keysOf(target), unfinished: memory.unfinished.size }).toEqual({ keys: [], unfinished: 0 });
    }
  });

  test('about sizes in its answers is found out, too', async () => {
    const source = await sampleSource();
    const lying = watchedStore(source, {});
    const longer: Store = {
      ...lying,
      async read(key, options) {
        const body = await lying.read(key, options);
        if (!key.endsWith('disk1.img')) return body;
        return {
          length: body.length,
          objectSize: body.objectSize,
          async *[Symbol.asyncIterator]() {
            yield* body;
            for (;;) yield Buffer.alloc(1024);
          },
          [Symbol.asyncDispose]: () => body[Symbol.asyncDispose](),
        };
      },
    };
    await expect(copy(longer, await newStore())).rejects.toMatchObject({ code: 'DUMP_DAMAGED', disk: 1 });
  });

  test.each([
    ['a dump outside of the export', (text: string) => text.replace('"name": "disk0.img"', '"name": "../../gantry-store.json"')],
    ['a dump called as the manifest', (text: string) => text.replace('"name": "disk0.img"', '"name": "manifest.json"')],
    ['another id', (text: string) => text.replace('"exportId": "2026', '"exportId": "2025')],
    ['another instance', (text: string) => text.replaceAll(NAME, 'db1.example.com')],
    ['an absurd size', (text: string) => text.replace(/"storedBytes": \d+/, '"storedBytes": 1e30')],
  ])('by a manifest with %s is refused before anything is written', async (_what, change) => {
    const source = await sampleSource();
    const text = await get(source, `${PREFIX}manifest.json`);
    expect(change(text)).not.toBe(text);
    await put(source, `${PREFIX}manifest.json`, change(text));
    const target = await newStore();
    await expect(copy(source, target)).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
    expect(await keysOf(target)).toEqual([]);
  });

  test('by an export called as that of Ganeti, whose directory all exports share, is refused', async () => {
    const source = await sampleSource();
    for (const key of await keysOf(source)) {
      const bytes = await getBytes(source, key);
      await put(
        source,
        key.replace('20261123T081500Z/', ''),
        key.endsWith('.json') ? bytes.toString().replace('20261123T081500Z', 'ganeti') : bytes,
      );
    }
    const target = await sampleSource();
    const before = await keysOf(target);
    await expect(copyFromStore({ source, export: `${NAME}@ganeti`, target })).rejects.toMatchObject({ code: 'USAGE' });
    expect(await keysOf(target)).toEqual(before);
  });
});

describe('a copy that fails', () => {
  /** Copies into a store that fails in its call number `at`. */
  async function copyWith(at: number, failure: Error, source: Store) {
    const memory = new Memory();
    const calls: StoreCall[] = [];
    const store = await newStore(memory);
    const failing = watchedStore(store, {
      before: (call) => {
        calls.push(call);
        if (calls.length === at + 1) throw failure;
      },
    });
    const error = await copy(source, failing).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { error, memory, store, calls };
  }

  test('because the store is full leaves nothing, no matter when', async () => {
    const source = await sampleSource();
    const full = new StoreError('full', { message: 'no space' });
    const { calls } = await copyWith(Infinity, full, source);
    expect(calls.length).toBeGreaterThan(20);
    for (const at of calls.keys()) {
      const { error, memory, store } = await copyWith(at, full, source);
      // The last two look for its claim and remove it: the copy is complete by then.
      if (at >= calls.length - 2) {
        expect(error).toBeUndefined();
        await expect(verifyExport({ store, export: NAME })).resolves.toMatchObject({ checksums: true });
      } else {
        expect(error, calls[at]).toMatchObject({ code: 'STORE_FULL' });
        expect({ at, keys: await keysOf(store), unfinished: memory.unfinished.size }).toEqual({ at, keys: [], unfinished: 0 });
      }
    }
  });

  test('because the store is gone is never complete, and continued by the next one, no matter when', async () => {
    const source = await sampleSource();
    const gone = new StoreError('unavailable', { message: 'the network is gone' });
    const { calls } = await copyWith(Infinity, gone, source);
    for (const at of calls.keys()) {
      const { error, memory, store } = await copyWith(at, gone, source);
      const keys = await keysOf(store, PREFIX);
      if (error === undefined) continue;
      expect(error, calls[at]).toMatchObject({ code: 'STORE_UNAVAILABLE' });
      if (!keys.includes(`${PREFIX}export.claim`)) continue;
      await killOwner(store, memory);
      const started: StoreCall[] = [];
      const watched = watchedStore(new MemoryStore(memory), { before: (call) => void (call.startsWith('begin') && started.push(call)) });
      expect(await copy(source, watched), calls[at]).toMatchObject({
        outcome: keys.includes(`${PREFIX}manifest.json`) ? 'present' : 'copied',
      });
      await expectEqualExports(source, watched);
      const sentAgain = started.filter((call) => keys.some((key) => key.endsWith('.img') && call === `begin ${key}`));
      expect(sentAgain).toEqual([]);
      expect(memory.unfinished.size).toBe(0);
    }
  });

  test('in the middle of an object goes on at the byte that was durable', async () => {
    const content = 'x'.repeat(300 * 1024);
    const source = await sampleSource([content]);
    const memory = new Memory();
    const target = await newStore(memory);
    const interrupted = new AbortController();
    const reason = new Error('interrupted');
    let chunks = 0;
    const watched = watchedStore(target, {
      alter: (key, chunk) => {
        if (key.endsWith('disk0.img') && (chunks += 1) === 3) interrupted.abort(reason);
        return chunk;
      },
    });
    await expect(copy(source, watched, interrupted.signal)).rejects.toBe(reason);
    await killOwner(target, memory);
    const [left] = memory.unfinished.values();
    const durable = left?.bytes.length ?? 0;
    expect(durable).toBeGreaterThan(0);
    const offsets: number[] = [];
    const seen: Store = {
      ...watchedStore(source, {}),
      read: async (key, options) => {
        if (key.endsWith('disk0.img')) offsets.push(options?.offset ?? 0);
        return await source.read(key, options);
      },
    };
    const second = new MemoryStore(memory);
    const { sentBytes } = await copy(seen, second);
    expect(offsets).toEqual([durable]);
    expect(sentBytes).toBeLessThan(content.length);
    await expectEqualExports(source, second);
  });

  test('and left other bytes than the source has now starts that object anew', async () => {
    const content = 'x'.repeat(300 * 1024);
    const source = await sampleSource([content]);
    const memory = new Memory();
    const target = await newStore(memory);
    const interrupted = new AbortController();
    let chunks = 0;
    const watched = watchedStore(target, {
      alter: (key, chunk) => {
        if (!key.endsWith('disk0.img')) return chunk;
        if ((chunks += 1) === 3) interrupted.abort(new Error('interrupted'));
        return Buffer.from(chunk).fill('y', 0, 1);
      },
    });
    await expect(copy(source, watched, interrupted.signal)).rejects.toThrow('interrupted');
    await killOwner(target, memory);
    const second = new MemoryStore(memory);
    await copy(source, second);
    await expectEqualExports(source, second);
    expect(memory.unfinished.size).toBe(0);
  });

  test('is not continued by the copy of another export under the same id', async () => {
    const source = await sampleSource();
    const gone = new StoreError('unavailable', { message: 'the network is gone' });
    const { calls } = await copyWith(Infinity, gone, source);
    const { memory, store } = await copyWith(calls.indexOf(`begin ${PREFIX}frames.table`), gone, source);
    expect(await keysOf(store)).toContain(`${PREFIX}disk0.img`);
    await killOwner(store, memory);
    const other = await sampleSource(['first disk', 'changed disk']);
    const target = new MemoryStore(memory);
    await copy(other, target);
    await expectEqualExports(other, target);
  });
});

test('two copies of one export at once make one export', async () => {
  const source = await sampleSource();
  const memory = new Memory();
  await newStore(memory);
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => copy(source, new MemoryStore(memory))));
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);
  for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'BUSY' });
  await expectEqualExports(source, new MemoryStore(memory));
});

describe('what a killed copy left, when two runs find it at once,', () => {
  /** All but its manifest, and what another run finds of it. */
  async function leftByKilledCopy(source: Store) {
    const memory = new Memory();
    const dying = await newStore(memory);
    const failing = watchedStore(dying, {
      before: (call) => {
        if (call === `begin ${PREFIX}manifest.json`) throw new StoreError('unavailable', { message: 'the network is gone' });
      },
    });
    await expect(copy(source, failing)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await killOwner(dying, memory);
    const store = new MemoryStore(memory);
    const [found] = await findUnfinished(store);
    if (found === undefined) throw new Error('nothing was left');
    return { memory, store, found };
  }

  test('is not continued by a copy while it is cleared', async () => {
    const source = await sampleSource();
    const { memory, store, found } = await leftByKilledCopy(source);
    const outcomes: unknown[] = [];
    const cleaner = watchedStore(store, {
      before: async (call) => {
        if (call.startsWith('remove') && call.includes('disk0.img'))
          outcomes.push(await copy(source, new MemoryStore(memory)).catch((error: unknown) => error));
      },
    });
    expect(await clearUnfinished(cleaner, found)).toBe('cleared');
    expect(outcomes).toEqual([expect.objectContaining({ code: 'BUSY', message: expect.stringContaining(REFERENCE) })]);
    expect(await keysOf(store)).toEqual([]);
    await copy(source, store);
    await expectEqualExports(source, store);
  });

  test('is not cleared while a copy takes it over', async () => {
    const source = await sampleSource();
    const { memory, store, found } = await leftByKilledCopy(source);
    const outcomes: unknown[] = [];
    const watched = watchedStore(new MemoryStore(memory), {
      before: async (call) => {
        if (call === `begin ${PREFIX}export.claim`) outcomes.push(await clearUnfinished(store, found));
      },
    });
    expect(await copy(source, watched)).toMatchObject({ outcome: 'copied' });
    expect(outcomes).toEqual(['taken']);
    await expectEqualExports(source, store);
  });
});

test('a copy does not continue in the place of an export that was removed since, whose dumps may be in use', async () => {
  const source = await sampleSource();
  const memory = new Memory();
  const dying = await newStore(memory);
  const failing = watchedStore(dying, {
    after: (call) => {
      if (call === `commit ${PREFIX}manifest.json`) throw new StoreError('unavailable', { message: 'the network is gone' });
    },
  });
  await expect(copy(source, failing)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await killOwner(dying, memory);
  const store = new MemoryStore(memory);
  // As an earlier version removed it, which left the claim.
  await store.remove([`${PREFIX}manifest.json`]);
  await put(store, `${PREFIX}removed.json`, '{}');
  const before = await keysOf(store);
  await expect(copy(source, store)).rejects.toMatchObject({ code: 'EXPORT_EXISTS', message: expect.stringContaining('was removed') });
  expect(await keysOf(store)).toEqual(before);
});
