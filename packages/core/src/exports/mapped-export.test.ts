import { randomBytes } from 'node:crypto';
import type { Store } from '@gantry/transport';
import fc from 'fast-check';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { getBytes, put } from '../../test/sample-export.ts';
import type { MappedExport } from '../../test/sample-lineage.ts';
import { SAMPLE_FRAME_BYTES as FRAME, SampleLineage } from '../../test/sample-lineage.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { collect } from '../frames/testing/streams.ts';
import { openFrameSource } from './frame-source.ts';
import { openExport } from './open-export.ts';
import { readDump } from './read-dump.ts';
import { PlainFrames, storedFrames } from './stored-frames.ts';
import { storedPacks } from './pack-sources.ts';

const ZEROS = Buffer.alloc(FRAME);

async function readDisk(store: MemoryStore, reference: string): Promise<Buffer> {
  const found = await openExport(store, reference);
  const [dump] = found.dumps;
  if (dump === undefined) throw new Error('no dump');
  const budget = new MemoryBudget(8 * FRAME);
  return await collect(readDump(found, dump, { budget, signal: new AbortController().signal, warn: () => expect.unreachable() }));
}

/** Text, which compresses, and can be patched. */
function text(seed: string, bytes = FRAME): Buffer {
  return Buffer.from(
    Array.from({ length: Math.ceil(bytes / 20) }, (_, line) => `${seed} ${line}`.padEnd(19).concat('\n')).join(''),
  ).subarray(0, bytes);
}

function changed(frame: Uint8Array): Buffer {
  const copy = Buffer.from(frame);
  copy.write('changed', 100);
  return copy;
}

function at(frames: readonly Uint8Array[], index: number): Uint8Array {
  return frames[index] ?? Buffer.of();
}

/** A full export and two after it, with zeros, moved frames, frames of other sizes, repeated frames and patches. */
async function threeDays(store: MemoryStore): Promise<{ readonly disks: readonly Buffer[]; readonly exports: readonly MappedExport[] }> {
  const lineage = new SampleLineage(store);
  const first = [...Array.from({ length: 12 }, (_, index) => text(`first ${index}`)), ZEROS, randomBytes(FRAME)];
  await lineage.full(first);
  const second = [
    ...first.slice(0, 4),
    changed(at(first, 4)),
    ZEROS,
    randomBytes(3 * FRAME + 17),
    ...first.slice(6, 9),
    at(first, 0),
    at(first, 0),
    at(first, 0),
    changed(at(first, 9)),
    Buffer.of(1),
  ];
  const days = [await lineage.incremental(second, { patches: true })];
  const third = [...second.slice(0, 2), randomBytes(FRAME), ...second.slice(3), ZEROS, ZEROS];
  days.push(await lineage.incremental(third, { codec: 'gzip' }));
  days.push(await lineage.incremental(third, { codec: 'none' }));
  return { disks: [second, third, third].map((frames) => Buffer.concat(frames)), exports: days };
}

function keyOf({ disk, map }: MappedExport, index: number): { readonly key: string; readonly offset: number } {
  const entry = map.at(index);
  if (entry === undefined || entry.kind === 'zeros') throw new Error('it is in no pack');
  const pack = disk.packs[entry.place.pack];
  return { key: `${pack?.instance}/${pack?.exportId}/${pack?.name}`, offset: entry.place.offset };
}

async function damage(store: MemoryStore, key: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  await put(store, key, change(await getBytes(store, key)));
}

function flip(offset: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
    return bytes;
  };
}

describe('a disk whose frames are in dumps of several exports', () => {
  test('is read as it was, of every codec, with patches and frames of any size', async () => {
    const store = new MemoryStore();
    const { disks, exports } = await threeDays(store);
    for (const [day, { reference, map }] of exports.entries()) {
      expect((await readDisk(store, reference)).equals(disks[day] ?? Buffer.of())).toBe(true);
      expect([...map].some(({ kind }) => kind === 'patch')).toBe(day === 0);
    }
  });

  test('is read by itself alone: the exports before it may be gone but for their packs', async () => {
    const store = new MemoryStore();
    const { disks, exports } = await threeDays(store);
    const [first, , last] = exports;
    await store.remove([
      `${first?.disk.instance}/20261121T081500Z/manifest.json`,
      `${first?.disk.instance}/${first?.disk.exportId}/disk0.map`,
    ]);
    expect((await readDisk(store, last?.reference ?? '')).equals(disks[2] ?? Buffer.of())).toBe(true);
  });

  test('is read in any place', async () => {
    const store = new MemoryStore();
    const { disks, exports } = await threeDays(store);
    for (const [day, { reference }] of exports.entries()) {
      const disk = disks[day] ?? Buffer.of();
      const source = await openFrameSource(await openExport(store, reference), 0);
      expect(source).toMatchObject({ plainBytes: disk.length, frames: exports[day]?.map.length, frameSize: 3 * FRAME + 17 });
      for (const offset of [0, 1, FRAME - 1, FRAME, 5 * FRAME, 9 * FRAME + 20, disk.length - 1, Math.floor(disk.length / 2)]) {
        const { start, plain } = await source.at(offset);
        const bytes = plain instanceof Uint8Array ? plain : Buffer.alloc(plain.zeros);
        expect(offset >= start && offset < start + bytes.length).toBe(true);
        expect(disk.subarray(start, start + bytes.length).equals(bytes)).toBe(true);
      }
      for (const offset of [-1, disk.length, 0.5]) await expect(source.at(offset)).rejects.toThrow(RangeError);
    }
  });

  test('has no dump that is complete by itself: its own pack is not handed out as one', async () => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const found = await openExport(store, exports[0]?.reference ?? '');
    expect(found.dumps).toMatchObject([{ index: 0, name: 'disk0.map' }]);
    await expect(found.dump(0)).rejects.toMatchObject({ code: 'DUMP_MISSING', message: expect.stringContaining('complete by itself') });
    await expect(found.dump('disk0.pack.zst')).rejects.toMatchObject({ code: 'DUMP_MISSING' });
  });

  test('any history of disks is read as it was', async () => {
    const frame = fc.oneof(
      fc.constant(ZEROS),
      fc.nat(20).map((seed) => text(`seed ${seed}`)),
      fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 3000 })).map(([seed, bytes]) => text(`seed ${seed}`, bytes)),
      fc.nat(20).map((seed) => changed(text(`seed ${seed}`))),
    );
    const day = fc.record({
      frames: fc.array(frame, { maxLength: 12 }),
      patches: fc.boolean(),
      codec: fc.constantFrom('zstd', 'gzip', 'none'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(day, { minLength: 1, maxLength: 5 }), async (days) => {
        const store = new MemoryStore();
        const lineage = new SampleLineage(store);
        await lineage.full(Array.from({ length: 10 }, (_, seed) => text(`seed ${seed}`)));
        const made: [string, Buffer][] = [];
        for (const { frames, ...o } of days) made.push([(await lineage.incremental(frames, o)).reference, Buffer.concat(frames)]);
        for (const [reference, disk] of made) expect((await readDisk(store, reference)).equals(disk)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });
});

/** A store that counts the sources that are open. */
function countedStore(memory: MemoryStore): { readonly store: Store; readonly sources: { open: number; most: number } } {
  const sources = { open: 0, most: 0 };
  const store: Store = {
    ...watchedStore(memory, {}),
    async read(...parameters) {
      const source = await memory.read(...parameters);
      sources.open += 1;
      sources.most = Math.max(sources.most, sources.open);
      let isOpen = true;
      return {
        length: source.length,
        objectSize: source.objectSize,
        [Symbol.asyncIterator]: () => source[Symbol.asyncIterator](),
        async [Symbol.asyncDispose]() {
          if (isOpen) sources.open -= 1;
          isOpen = false;
          await source[Symbol.asyncDispose]();
        },
      };
    },
  };
  return { store, sources };
}

describe('stored frames', () => {
  test('come in the order of the map, as they are stored, with the frame that a patch needs', async () => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const [day] = exports;
    if (day === undefined) throw new Error('no export');
    const expected: string[] = [];
    for (const [index, entry] of [...day.map].entries()) {
      if (entry.kind === 'zeros') continue;
      const { key, offset } = keyOf(day, index);
      const stored = (await getBytes(store, key)).subarray(offset, offset + entry.place.storedBytes);
      expected.push(`${index} ${stored.toString('hex')} ${entry.kind === 'patch'}`);
    }
    const found: string[] = [];
    for await (const { index, stored, base } of storedFrames(store, day.disk, day.map)) {
      found.push(`${index} ${Buffer.from(stored).toString('hex')} ${base.length > 0}`);
    }
    expect(found).toEqual(expected);
    const wanted: number[] = [];
    for await (const { index } of storedFrames(store, day.disk, day.map, { wanted: (_, { kind }) => kind === 'patch' })) wanted.push(index);
    expect(wanted).toEqual([...day.map].flatMap(({ kind }, index) => (kind === 'patch' ? [index] : [])));
  });

  test('that lie together are read with one request, although frames of other packs are between them', async () => {
    const memory = new MemoryStore();
    const lineage = new SampleLineage(memory);
    const first = Array.from({ length: 60 }, () => randomBytes(FRAME));
    await lineage.full(first);
    const { disk, map } = await lineage.incremental(first.map((frame, index) => (index % 20 === 7 ? randomBytes(FRAME) : frame)));
    const reads: string[] = [];
    const store = watchedStore(memory, { before: (call) => void reads.push(call) });
    for await (const { stored } of storedFrames(store, disk, map)) expect(stored.length).toBeGreaterThan(FRAME);
    expect(reads.toSorted()).toEqual([
      'read web1.example.com/20261121T081500Z/disk0.zst',
      'read web1.example.com/20261122T081500Z/disk0.pack.zst',
    ]);
  });

  test('of a frame that is there many times are read once', async () => {
    const memory = new MemoryStore();
    const lineage = new SampleLineage(memory);
    const frame = randomBytes(FRAME);
    await lineage.full([frame]);
    const { disk, map } = await lineage.incremental(Array.from({ length: 500 }, () => frame));
    let reads = 0;
    const store = watchedStore(memory, { before: () => void (reads += 1) });
    let frames = 0;
    for await (const _frame of storedFrames(store, disk, map)) frames += 1;
    expect([frames, reads]).toEqual([500, 1]);
  });

  test('are read with few requests at once, and few open', async () => {
    const memory = new MemoryStore();
    const lineage = new SampleLineage(memory);
    let frames = Array.from({ length: 100 }, () => randomBytes(1000));
    await lineage.full([]);
    let last: MappedExport | undefined;
    for (let day = 0; day < 25; day += 1) {
      frames = frames.map((frame, index) => (index % 25 === day ? randomBytes(1000) : frame));
      last = await lineage.incremental(frames);
    }
    if (last === undefined) throw new Error('no export');
    const { store, sources } = countedStore(memory);
    const plain: Buffer[] = [];
    const single = new PlainFrames(last.map, storedPacks(store, last.disk));
    for await (const { index } of storedFrames(store, last.disk, last.map)) {
      const frame = await single.read(index);
      if (frame.plain instanceof Uint8Array) plain.push(Buffer.from(frame.plain));
    }
    expect(Buffer.concat(plain).equals(Buffer.concat(frames))).toBe(true);
    expect(sources.open).toBe(0);
    expect(sources.most).toBeLessThanOrEqual(13);
  });

  test.each(['left', 'aborted'])('that are %s leave no memory in use and nothing open', async (how) => {
    const memory = new MemoryStore();
    const { store, sources } = countedStore(memory);
    const { exports } = await threeDays(memory);
    const [day] = exports;
    if (day === undefined) throw new Error('no export');
    const budget = new MemoryBudget(1024 * 1024);
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _frame of storedFrames(store, day.disk, day.map, { budget, signal: controller.signal })) {
        if (how === 'left') break;
        controller.abort(new Error('enough'));
      }
    })();
    if (how === 'left') await reading;
    else await expect(reading).rejects.toThrow('enough');
    await expect.poll(() => [budget.usedBytes, sources.open]).toEqual([0, 0]);
  });

  test.each(['left', 'aborted', 'damaged'])('that are decoded and %s leave no memory in use and nothing open', async (how) => {
    const memory = new MemoryStore();
    const { store, sources } = countedStore(memory);
    const { exports } = await threeDays(memory);
    const [day] = exports;
    if (day === undefined) throw new Error('no export');
    const found = await openExport(store, day.reference);
    const [dump] = found.dumps;
    if (dump === undefined) throw new Error('no dump');
    if (how === 'damaged') await damage(memory, keyOf(day, 8).key, flip(keyOf(day, 8).offset + 30));
    const budget = new MemoryBudget(8 * FRAME);
    const controller = new AbortController();
    const { signal } = controller;
    let most = 0;
    const reading = (async () => {
      for await (const _piece of readDump(found, dump, { budget, signal, warn: () => expect.unreachable() })) {
        most = Math.max(most, budget.usedBytes);
        if (how === 'left') break;
        if (how === 'aborted') controller.abort(new Error('enough'));
      }
    })();
    if (how === 'left') await reading;
    else await expect(reading).rejects.toThrow(how === 'aborted' ? 'enough' : 'is damaged in frame 8');
    await expect.poll(() => [budget.usedBytes, sources.open]).toEqual([0, 0]);
    expect(most).toBeLessThanOrEqual(budget.limit);
  });
});

describe('damage is named with disk, frame and pack', () => {
  test('a changed byte in a dump of an earlier export', async () => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const [day] = exports;
    if (day === undefined) throw new Error('no export');
    const { key, offset } = keyOf(day, 2);
    await damage(store, key, flip(offset + 30));
    const named = {
      code: 'DUMP_DAMAGED',
      disk: 0,
      message: expect.stringContaining(
        `disk 0 of ${day.reference} is damaged in frame 2, in ../20261121T081500Z/disk0.zst at stored byte ${offset}: `,
      ),
    };
    await expect(readDisk(store, day.reference)).rejects.toMatchObject(named);
    await expect((await openFrameSource(await openExport(store, day.reference), 0)).at(2 * FRAME)).rejects.toMatchObject(named);
  });

  test('a changed byte in the frame that a patch needs, and in the patch', async () => {
    for (const part of ['base', 'patch']) {
      const store = new MemoryStore();
      const { exports } = await threeDays(store);
      const [day] = exports;
      const entry = day?.map.at(4);
      if (day === undefined || entry?.kind !== 'patch') throw new Error('no patch');
      const base = `${day.disk.instance}/20261121T081500Z/disk0.zst`;
      await (part === 'base'
        ? damage(store, base, flip(entry.base.offset + 30))
        : damage(store, keyOf(day, 4).key, flip(entry.place.offset + 12)));
      await expect(readDisk(store, day.reference)).rejects.toMatchObject({
        code: 'DUMP_DAMAGED',
        message: expect.stringContaining(
          `in frame 4, in disk0.pack.zst at stored byte ${entry.place.offset}, a patch of ../20261121T081500Z/disk0.zst at stored byte ${entry.base.offset}: `,
        ),
      });
    }
  });

  test('bytes that decode well, but are others: by their SHA-256', async () => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const day = exports[2];
    if (day === undefined) throw new Error('no export');
    const found = await openExport(store, day.reference);
    const mapped = await found.mapped(0);
    if (mapped === undefined) throw new Error('no map');
    const map = new FrameMap();
    for (const entry of mapped.map) map.push(entry.kind === 'zeros' ? entry : { ...entry, sha256: randomBytes(32) });
    await expect(new PlainFrames(map, mapped.packs).read(0)).rejects.toMatchObject({
      code: 'DUMP_DAMAGED',
      message: expect.stringMatching(/in frame 0, in \.\..*: SHA-256 mismatch: got [0-9a-f]{64}, expected [0-9a-f]{64}/),
    });
  });

  test.each([
    ['gone', undefined, 'PACK_MISSING', 'is incomplete: frames of disk 0 are in ../20261121T081500Z/disk0.zst, which is not in the store'],
    [
      'cut short',
      (bytes: Buffer) => bytes.subarray(0, -1),
      'PACK_MISSING',
      'is damaged: frames of disk 0 are in ../20261121T081500Z/disk0.zst, and it has',
    ],
    [
      'longer',
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.of(0)]),
      'PACK_MISSING',
      'is damaged: frames of disk 0 are in ../20261121T081500Z/disk0.zst, and it has',
    ],
  ] as const)('a pack of an earlier export that is %s', async (_what, change, code, message) => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const reference = exports[0]?.reference ?? '';
    const key = 'web1.example.com/20261121T081500Z/disk0.zst';
    if (change === undefined) await store.remove([key]);
    else await damage(store, key, change);
    const named = { code, message: expect.stringContaining(`${reference} ${message}`), disk: 0 };
    await expect(readDisk(store, reference)).rejects.toMatchObject(named);
    await expect((await openExport(store, reference)).checkDumpsPresent()).rejects.toMatchObject(named);
  });

  test('the own pack, or the frame map, that is gone', async () => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const reference = exports[0]?.reference ?? '';
    await store.remove(['web1.example.com/20261122T081500Z/disk0.pack.zst']);
    const noPack = { code: 'DUMP_MISSING', message: expect.stringContaining('are in disk0.pack.zst, which is not in the store'), disk: 0 };
    await expect(readDisk(store, reference)).rejects.toMatchObject(noPack);
    const found = await openExport(store, reference);
    await expect(found.checkDumpsPresent()).rejects.toMatchObject(noPack);
    await store.remove(['web1.example.com/20261122T081500Z/disk0.map']);
    const noMap = { code: 'MAP_DAMAGED', message: `disk0.map of ${reference} is damaged: it is missing`, disk: 0 };
    await expect(readDisk(store, reference)).rejects.toMatchObject(noMap);
    await expect(found.checkDumpsPresent()).rejects.toMatchObject(noMap);
  });

  test('a frame map of another size, or with another byte', async () => {
    const store = new MemoryStore();
    const { exports } = await threeDays(store);
    const reference = exports[0]?.reference ?? '';
    const key = 'web1.example.com/20261122T081500Z/disk0.map';
    await damage(store, key, flip(700));
    await expect(readDisk(store, reference)).rejects.toMatchObject({ code: 'MAP_DAMAGED' });
    await damage(store, key, (bytes) => bytes.subarray(1));
    const found = await openExport(store, reference);
    await expect(found.checkDumpsPresent()).rejects.toMatchObject({
      code: 'MAP_DAMAGED',
      message: expect.stringMatching(/it has \d+ bytes instead of \d+/),
    });
  });

  test('a store that reads only complete objects says that it cannot do it', async () => {
    const memory = new MemoryStore();
    const { exports } = await threeDays(memory);
    const store = watchedStore(memory, { capabilities: { rangedRead: false } });
    const found = await openExport(store, exports[0]?.reference ?? '');
    await expect(found.mapped(0)).rejects.toMatchObject({
      code: 'STORE_UNSUPPORTED',
      message: expect.stringContaining('reads only complete objects'),
    });
  });
});
