import { randomBytes } from 'node:crypto';
import { alterBody, alterStore, StoreError } from '@gantry/transport';
import type { Store } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf, put, sha256 } from '../../test/sample-export.ts';
import { SAMPLE_FRAME_BYTES as FRAME, SampleLineage } from '../../test/sample-lineage.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import type { MapRecord } from '../exports/manifest.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { collect } from '../frames/testing/streams.ts';
import { copyFromStore } from './copy.ts';
import { mirrorStore } from './mirror.ts';
import { verifyExport } from './verify.ts';

const NAME = 'web1.example.com';
const ZEROS = Buffer.alloc(FRAME);

/** `web1.example.com@ID` of the export of a day of the sample, from 1. */
function dayOf(day: number): string {
  return `${NAME}@202611${20 + day}T081500Z`;
}

function prefixOf(day: number): string {
  return `${dayOf(day).replace('@', '/')}/`;
}

/** Text, which compresses, and can be patched. */
function text(seed: string): Buffer {
  return Buffer.from(Array.from({ length: FRAME / 16 }, (_, line) => `${seed} ${line}`.padEnd(15).concat('\n')).join(''));
}

function changed(frame: Uint8Array, by = 'changed'): Buffer {
  const copy = Buffer.from(frame);
  copy.write(by, 100);
  return copy;
}

interface Lineage {
  readonly store: MemoryStore;
  /** By day, from 1. */
  readonly disks: ReadonlyMap<number, Buffer>;
}

/** A full export, then days with the given frames, each with patches where they can be. */
async function lineageOf(first: readonly Uint8Array[], ...days: readonly (readonly Uint8Array[])[]): Promise<Lineage> {
  const store = new MemoryStore();
  const lineage = new SampleLineage(store);
  await lineage.full(first);
  for (const frames of days) await lineage.incremental(frames, { patches: true });
  return { store, disks: new Map([first, ...days].map((frames, place) => [place + 1, Buffer.concat(frames)])) };
}

async function* withoutLastByte(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let last: Uint8Array | undefined;
  for await (const chunk of chunks) {
    if (last !== undefined) yield last;
    last = Buffer.from(chunk);
  }
  if (last !== undefined) yield last.subarray(0, -1);
}

const FIRST = [...Array.from({ length: 8 }, (_, index) => text(`first ${index}`)), ZEROS, randomBytes(FRAME)];
const [A = ZEROS, B = ZEROS, C = ZEROS, D = ZEROS] = FIRST;
const SECOND = [A, changed(B), ...FIRST.slice(2, 8), A, A, randomBytes(2 * FRAME + 17), ZEROS];
const THIRD = [A, changed(B), changed(C), randomBytes(FRAME), ...SECOND.slice(4), Buffer.of(1)];

async function newStore(memory = new Memory()): Promise<MemoryStore> {
  const store = new MemoryStore(memory);
  await initializeStore(store);
  return store;
}

async function diskIn(store: Store, reference: string): Promise<Buffer> {
  const found = await openExport(store, reference);
  const [dump] = found.dumps;
  if (dump === undefined) throw new Error('no dump');
  const budget = new MemoryBudget(8 * FRAME);
  return await collect(readDump(found, dump, { budget, signal: new AbortController().signal, warn: () => expect.unreachable() }));
}

async function expectDay(store: Store, { disks }: Lineage, day: number): Promise<void> {
  expect((await diskIn(store, dayOf(day))).equals(disks.get(day) ?? Buffer.of()), `day ${day}`).toBe(true);
  await expect(verifyExport({ store, export: dayOf(day) })).resolves.toMatchObject({ checksums: true });
}

async function recordOf(store: Store, day: number) {
  const { manifest } = await openExport(store, dayOf(day));
  const [record] = manifest?.dumps ?? [];
  if (record === undefined) throw new Error('no dump');
  return record;
}

function idsOf(map: MapRecord | undefined): readonly string[] | undefined {
  return map?.packs.map(({ exportId }) => exportId).toSorted();
}

async function expectStoredAlike(target: Store, { store }: Lineage, day: number): Promise<void> {
  const [one, other] = [await recordOf(target, day), await recordOf(store, day)];
  expect(one.storedBytes).toBe(other.storedBytes);
  expect(idsOf(one.map)).toEqual(idsOf(other.map));
}

async function kindsIn(store: Store, day: number): Promise<readonly string[]> {
  const map = await (await openExport(store, dayOf(day))).frameMap(0);
  return [...(map ?? [])].map(({ kind }) => kind);
}

function copyDay(source: Store, day: number, target: Store) {
  return copyFromStore({ source, export: dayOf(day), target });
}

/** As retention does at the target: only dumps stay, because others need them. */
async function removeAllButDumps(store: Store, day: number): Promise<void> {
  const keys = await keysOf(store, prefixOf(day));
  await store.remove(keys.filter((key) => !/\/disk0\.(pack\.)?zst$/.test(key)));
  await put(store, `${prefixOf(day)}removed.json`, '{}');
}

describe('a mirrored lineage', () => {
  test('has every disk, and stores each day what the source stores for it, patches included', async () => {
    const lineage = await lineageOf(FIRST, SECOND, THIRD, THIRD);
    const target = await newStore();
    const { exports, warnings } = await mirrorStore({ source: lineage.store, target });
    expect({ copied: exports.map(({ outcome }) => outcome), warnings }).toEqual({ copied: Array(4).fill('copied'), warnings: [] });
    for (const day of [1, 2, 3, 4]) {
      await expectDay(target, lineage, day);
      if (day < 3) {
        await expectStoredAlike(target, lineage, day);
        expect(await kindsIn(target, day)).toEqual(await kindsIn(lineage.store, day));
      } else {
        // The sample does not refer to patches: from day 3 on it stores again what it stored as patches.
        expect((await recordOf(target, day)).storedBytes).toBeLessThan((await recordOf(lineage.store, day)).storedBytes);
      }
    }
    expect(await kindsIn(target, 3)).toContain('patch');
    expect(await keysOf(target, prefixOf(4))).not.toContain(`${prefixOf(4)}disk0.pack.zst`);
    expect(await mirrorStore({ source: lineage.store, target })).toMatchObject({ exports: [], present: 4 });
    expect(await copyDay(lineage.store, 3, target)).toMatchObject({ outcome: 'present' });
  });

  test('may have lost exports in between at either end', async () => {
    const lineage = await lineageOf(FIRST, SECOND, THIRD, [...THIRD, A]);
    const target = await newStore();
    for (const day of [1, 2]) await copyDay(lineage.store, day, target);
    const { storedBytes } = await recordOf(lineage.store, 3);
    await removeAllButDumps(target, 1);
    await removeAllButDumps(lineage.store, 2);
    await removeAllButDumps(lineage.store, 3);
    await copyDay(lineage.store, 4, target);
    await expectDay(target, lineage, 2);
    await expectDay(target, lineage, 4);
    // What day 3 had new is new here.
    expect((await recordOf(target, 4)).storedBytes).toBeLessThan(storedBytes + 2000);
  });

  test('keeps patches of a frame that only patches refer to any more', async () => {
    const lineage = await lineageOf([A, D], [changed(A), D], [A, D], [changed(A, 'once more'), D]);
    const target = await newStore();
    for (const day of [1, 2]) await copyDay(lineage.store, day, target);
    await removeAllButDumps(target, 1);
    expect(await kindsIn(target, 2)).toEqual(['patch', 'frame']);
    await copyDay(lineage.store, 4, target);
    expect(await kindsIn(target, 4)).toEqual(['patch', 'frame']);
    await expectStoredAlike(target, lineage, 4);
    await expectDay(target, lineage, 4);
  });
});

describe('an export that comes alone', () => {
  test('brings all its frames, and stores as a whole what was a patch of another one', async () => {
    const lineage = await lineageOf(FIRST, SECOND, THIRD);
    const target = await newStore();
    expect(await copyDay(lineage.store, 3, target)).toMatchObject({ outcome: 'copied' });
    await expectDay(target, lineage, 3);
    expect(await kindsIn(target, 3)).not.toContain('patch');
    expect((await recordOf(target, 3)).map?.packs).toHaveLength(1);
    expect((await openExport(target, NAME)).manifest).toMatchObject({ version: 3, started: '2026-11-23T08:15:00.000Z' });
  });

  test('keeps patches whose base comes along', async () => {
    const lineage = await lineageOf([A, A, B], [A, changed(A), changed(B)]);
    const target = await newStore();
    await copyDay(lineage.store, 2, target);
    expect(await kindsIn(target, 2)).toEqual(['frame', 'patch', 'frame']);
    await expectDay(target, lineage, 2);
  });

  test('may have frames of several codecs: those of another one than its own are compressed anew', async () => {
    const store = new MemoryStore();
    const sample = new SampleLineage(store);
    await sample.full(FIRST);
    await sample.incremental(SECOND, { patches: true });
    await sample.incremental(THIRD, { codec: 'gzip' });
    const lineage = { store, disks: new Map([[3, Buffer.concat(THIRD)]]) };
    const target = await newStore();
    await copyDay(store, 3, target);
    await expectDay(target, lineage, 3);
    expect(await recordOf(target, 3)).toMatchObject({ name: 'disk0.pack.gz', codec: 'gzip' });
  });
});

describe('a full export with frame maps', () => {
  test('stays as it is where nothing of it is, and refers to what is there elsewhere', async () => {
    await using bench = await makeOperationBench({});
    const other = await newStore();
    const earlier = await bench.exportDisks({ store: other, incremental: true });
    let source = other;
    let reference = earlier.reference;
    // In another second, so that it has another id.
    while (reference === earlier.reference) {
      source = await newStore();
      ({ reference } = await bench.exportDisks({ store: source, incremental: true }));
    }
    const empty = await newStore();
    await copyFromStore({ source, export: reference, target: empty });
    expect((await openExport(empty, reference)).manifest).toMatchObject({ version: 2 });
    expect(await copyFromStore({ source, export: reference, target: other })).toMatchObject({ sentBytes: 0 });
    expect((await openExport(other, reference)).manifest).toMatchObject({ version: 3 });
    expect((await diskIn(other, reference)).equals(await diskIn(source, reference))).toBe(true);
  });
});

describe('a source that lies about frames', () => {
  test('in the map of a full export, which its readers do not need, is found out before anything is written', async () => {
    await using bench = await makeOperationBench({});
    const source = await newStore();
    const { reference } = await bench.exportDisks({ store: source, incremental: true });
    const prefix = `${reference.replace('@', '/')}/`;
    const map = await get(source, `${prefix}disk0.map`);
    const lying = map.replace(/^(frame \d+ )[0-9a-f]{64}/m, `$1${sha256('something else')}`);
    expect(lying).not.toBe(map);
    await put(source, `${prefix}disk0.map`, lying);
    const manifest = await get(source, `${prefix}manifest.json`);
    await put(source, `${prefix}manifest.json`, manifest.replace(sha256(map), sha256(lying)));
    const target = await newStore();
    await expect(copyFromStore({ source, export: reference, target })).rejects.toMatchObject({
      code: 'MAP_DAMAGED',
      message: expect.stringContaining(`disk0.map of ${reference}`),
    });
    expect(await keysOf(target)).toEqual([]);
  });

  async function expectRefused(source: Store, day: number, code: string): Promise<void> {
    const memory = new Memory();
    const target = await newStore(memory);
    await expect(copyDay(source, day, target)).rejects.toMatchObject({ code, message: expect.stringContaining(dayOf(day)) });
    expect({ keys: await keysOf(target), unfinished: memory.unfinished.size }).toEqual({ keys: [], unfinished: 0 });
  }

  test.each([
    ['its own', 3, 'disk0.pack.zst'],
    ['an earlier', 1, 'disk0.zst'],
  ])('is found out by the data of each frame in %s pack', async (_what, day, name) => {
    const { store } = await lineageOf(FIRST, SECOND, THIRD);
    const key = `${prefixOf(day)}${name}`;
    const bytes = await getBytes(store, key);
    bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40);
    await put(store, key, bytes);
    await expectRefused(store, 3, 'DUMP_DAMAGED');
  });

  test('is found out when a pack is cut off, or missing', async () => {
    const { store } = await lineageOf(FIRST, SECOND, THIRD);
    const key = `${prefixOf(1)}disk0.zst`;
    await put(store, key, (await getBytes(store, key)).subarray(1));
    await expectRefused(store, 3, 'PACK_MISSING');
    await store.remove([key]);
    await expectRefused(store, 3, 'PACK_MISSING');
  });

  test('is found out when a pack ends early as it is read', async () => {
    const { store } = await lineageOf(FIRST, SECOND, THIRD);
    const short = alterStore(store, {
      read: async (key, options) => {
        const body = await store.read(key, options);
        return key.endsWith('disk0.zst') ? alterBody(body, withoutLastByte) : body;
      },
    });
    await expectRefused(short, 3, 'DUMP_DAMAGED');
  });

  test('about the size of its frame maps cannot fill the memory', async () => {
    const { store } = await lineageOf(FIRST, SECOND);
    const text = await get(store, `${prefixOf(2)}manifest.json`);
    const { dumps, ...manifest } = JSON.parse(text);
    const grown = (size: number, disks: number): string =>
      JSON.stringify({
        ...manifest,
        instance: { ...manifest.instance, disks: Array.from({ length: disks }, () => ({ access: 'rw' })) },
        dumps: Array.from({ length: disks }, (_, index) => {
          const [dump] = dumps;
          return { ...dump, index, name: `disk${index}.pack.zst`, storedBytes: 0, map: { ...dump.map, size, packs: [] } };
        }),
      });
    await put(store, `${prefixOf(2)}manifest.json`, grown(2 ** 31 + 1, 1));
    await expectRefused(store, 2, 'MANIFEST_DAMAGED');
    await put(store, `${prefixOf(2)}manifest.json`, grown(2 ** 30, 3));
    await expectRefused(store, 2, 'MAP_DAMAGED');
  });

  test('is found out when its map and its manifest agree on the wrong data', async () => {
    const { store } = await lineageOf(FIRST, SECOND);
    const map = await get(store, `${prefixOf(2)}disk0.map`);
    const lying = map.replace(/^(frame \d+ )[0-9a-f]{64}/m, `$1${sha256('something else')}`);
    expect(lying).not.toBe(map);
    await put(store, `${prefixOf(2)}disk0.map`, lying);
    const manifest = await get(store, `${prefixOf(2)}manifest.json`);
    await put(store, `${prefixOf(2)}manifest.json`, manifest.replace(sha256(map), sha256(lying)));
    await expectRefused(store, 2, 'DUMP_DAMAGED');
  });
});

test('a copy of a full export that fails after others may have seen it keeps the dumps to which they refer', async () => {
  const lineage = await lineageOf(FIRST, SECOND);
  const target = await newStore();
  const watched = watchedStore(target, {
    after: async (call) => {
      if (call !== `commit ${prefixOf(1)}manifest.json`) return;
      await copyDay(lineage.store, 2, target);
      await target.remove([`${prefixOf(1)}export.claim`]);
    },
  });
  await expect(copyDay(lineage.store, 1, watched)).rejects.toMatchObject({ code: 'STORE_FAILED' });
  expect(idsOf((await recordOf(target, 2)).map)).toContain(dayOf(1).split('@')[1]);
  await expectDay(target, lineage, 2);
  expect(await keysOf(target, prefixOf(1))).toEqual([`${prefixOf(1)}disk0.zst`, `${prefixOf(1)}removed.json`]);
});

describe('a copy by frame maps', () => {
  async function copyWith(source: Store, at: number) {
    const memory = new Memory();
    const store = await newStore(memory);
    await copyDay(source, 1, store);
    await copyDay(source, 2, store);
    const before = await keysOf(store);
    const calls: StoreCall[] = [];
    const failing = watchedStore(store, {
      before: (call) => {
        calls.push(call);
        if (calls.length === at + 1) throw new StoreError('full', { message: 'no space' });
      },
    });
    const error = await copyDay(source, 3, failing).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return { error, memory, store, calls, before };
  }

  test('into a store that becomes full leaves nothing, no matter when', async () => {
    const lineage = await lineageOf(FIRST, SECOND, THIRD);
    const { calls } = await copyWith(lineage.store, Infinity);
    for (const at of calls.keys()) {
      const { error, memory, store, before } = await copyWith(lineage.store, at);
      if (error === undefined) {
        await expectDay(store, lineage, 3);
        continue;
      }
      expect(error, calls[at]).toMatchObject({ code: 'STORE_FULL' });
      expect({ at, keys: await keysOf(store), unfinished: memory.unfinished.size }).toEqual({ at, keys: before, unfinished: 0 });
    }
  });

  test('does without an export at the target that is removed at this moment', async () => {
    const lineage = await lineageOf(FIRST, SECOND, THIRD);
    const target = await newStore();
    for (const day of [1, 2]) await copyDay(lineage.store, day, target);
    let isRemoved = false;
    const watched = watchedStore(target, {
      before: async (call) => {
        if (isRemoved || call !== `commit ${prefixOf(3)}export.claim`) return;
        isRemoved = true;
        for (const day of [1, 2]) await target.remove(await keysOf(target, prefixOf(day)));
      },
    });
    const { warnings } = await copyDay(lineage.store, 3, watched);
    expect(warnings).toEqual([expect.stringContaining(`cannot refer to ${dayOf(2)} in memory:: it was removed meanwhile`)]);
    await expectDay(target, lineage, 3);
    expect(await keysOf(target)).toEqual(await keysOf(target, prefixOf(3)));
  });

  test('claims the exports at the target to which it refers', async () => {
    const lineage = await lineageOf(FIRST, SECOND, THIRD);
    const target = await newStore();
    for (const day of [1, 2]) await copyDay(lineage.store, day, target);
    let claim = '';
    const watched = watchedStore(target, {
      before: async (call) => {
        if (call === `begin ${prefixOf(3)}disk0.pack.zst`) claim = await get(target, `${prefixOf(3)}export.claim`);
      },
    });
    await copyDay(lineage.store, 3, watched);
    expect(JSON.parse(claim)).toMatchObject({ parents: expect.arrayContaining([dayOf(1), dayOf(2)]) });
  });

  test('finds another export under its id, although both store nothing of their own', async () => {
    const lineage = await lineageOf(FIRST, SECOND, FIRST);
    const other = await lineageOf(FIRST, SECOND, [B, A, ...FIRST.slice(2)]);
    for (const { store } of [lineage, other]) expect(await recordOf(store, 3)).toMatchObject({ storedBytes: 0, map: { packs: [{}] } });
    expect(await copyDay(lineage.store, 3, lineage.store)).toMatchObject({ outcome: 'present' });
    await expect(copyDay(lineage.store, 3, other.store)).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
    await expectDay(other.store, other, 3);
  });

  test('finds another export under its id, although the descriptions are alike', async () => {
    const lineage = await lineageOf(FIRST, SECOND);
    const other = await lineageOf(FIRST, [...SECOND.slice(0, 2), D, ...SECOND.slice(3)]);
    const target = await newStore();
    await copyDay(other.store, 2, target);
    await expect(copyDay(lineage.store, 2, target)).rejects.toMatchObject({ code: 'EXPORT_EXISTS' });
    await expectDay(target, other, 2);
  });
});
