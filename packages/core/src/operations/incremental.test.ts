import { open, readFile, truncate } from 'node:fs/promises';
import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, keysOf, put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { parseClaim } from '../exports/claim.ts';
import { makeExportId } from '../exports/export-id.ts';
import { parseManifest } from '../exports/manifest.ts';
import { openExport } from '../exports/open-export.ts';
import { storeSink } from '../exports/store-sink.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { memoryTransfers } from '../instances/testing/memory-transfers.ts';
import type { ExportRequest, ExportResult } from './export.ts';
import { exportFromSource } from './export-from-source.ts';

/** Disks of few frames: each letter is one that is filled with it, a dot one that is a hole. */
interface DiskBench extends OperationBench {
  readonly fill: (frames: string, disk?: number) => Promise<void>;
  /** An incremental export. */
  readonly next: (request?: Partial<ExportRequest>) => Promise<ExportResult>;
  /** The frames of a disk that is imported from an export. */
  readonly restore: (reference: string, disk?: number) => Promise<string>;
}

async function makeDiskBench(store: Store = new MemoryStore(), disks = 1): Promise<DiskBench> {
  const bench = await makeOperationBench({ disks, store });
  let exports = 0;
  return {
    ...bench,
    fill: async (frames, disk = 0) => {
      await using file = await open(bench.instance.disks[disk]?.path ?? '', 'w');
      for (const [index, letter] of frames.split('').entries())
        if (letter !== '.') await file.write(Buffer.alloc(FRAME_SIZE, letter), 0, FRAME_SIZE, index * FRAME_SIZE);
      await file.truncate(frames.length * FRAME_SIZE);
    },
    next: (request) => bench.exportDisks({ incremental: true, ...request }),
    restore: async (reference, disk = 0) => {
      exports += 1;
      const name = `copy${exports}`;
      const paths = bench.instance.disks.map((_disk, index) => bench.directory.file(`${name}-${index}.img`));
      const sizes = await Promise.all(bench.instance.disks.map(async ({ path = '' }) => (await readFile(path)).length));
      for (const [index, path] of paths.entries()) {
        await (await open(path, 'w')).close();
        await truncate(path, Math.max(1, sizes[index] ?? 0));
      }
      const instance = { ...bench.instance, name, disks: paths.map((path) => ({ path, access: 'rw' as const })) };
      await bench.importDisks(reference, { instance, disks: [disk], yes: true });
      const bytes = await readFile(paths[disk] ?? '');
      const frames = Array.from({ length: bytes.length / FRAME_SIZE }, (_, index) =>
        bytes.subarray(index * FRAME_SIZE, (index + 1) * FRAME_SIZE),
      );
      return frames.map((frame) => (frame.equals(Buffer.alloc(FRAME_SIZE, frame[0])) ? letterOf(frame[0]) : '?')).join('');
    },
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
}

function letterOf(byte = 0): string {
  return byte === 0 ? '.' : String.fromCharCode(byte);
}

function frames(count: number): { frames: number; bytes: number } {
  return { frames: count, bytes: count * FRAME_SIZE };
}

/** The key of a file of an export. */
function keyOf(reference: string, name: string): string {
  return `${reference.replace('@', '/')}/${name}`;
}

const PATCHED = frames(0);

describe('a lineage', () => {
  test('stores each frame once, with any codecs, and each of its exports is restored alone', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB.CA');
    const first = await bench.next();
    expect(first.incremental).toEqual({ parents: [], known: frames(0), new: frames(4), patched: PATCHED });
    await bench.fill('AD.C.A');
    const second = await bench.next({ codec: 'gzip' });
    expect(second.incremental).toEqual({ parents: [first.reference], known: frames(3), new: frames(1), patched: PATCHED });
    await bench.fill('BDE.EB');
    const third = await bench.next({ codec: 'none' });
    // B is not in the second export, only in the pack of the first: it is stored again, once.
    expect(third.incremental).toEqual({ parents: [second.reference], known: frames(3), new: frames(2), patched: PATCHED });
    expect(third.storedBytes).toBe(2 * FRAME_SIZE);
    const last = await bench.next();
    expect(last).toMatchObject({ storedBytes: 0, incremental: { parents: [third.reference], known: frames(5), new: frames(0) } });
    const restored = await Promise.all([first, second, third, last].map(({ reference }) => bench.restore(reference)));
    expect(restored).toEqual(['AB.CA.', 'AD.C.A', 'BDE.EB', 'BDE.EB']);
    const versions = await Promise.all(
      [first, third].map(async ({ reference }) => (await openExport(bench.store, reference)).manifest?.version),
    );
    expect(versions).toEqual([2, 3]);
  });

  test('goes on from a full export without frame maps, which is read once', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB.C');
    for (const codec of ['zstd', 'gzip', 'none'] as const) {
      const { reference } = await bench.exportDisks({ codec });
      const stages: string[] = [];
      const next = await bench.next({ onEvent: (event) => event.type === 'stage' && stages.push(event.message) });
      expect(next).toMatchObject({ storedBytes: 0, incremental: { parents: [reference], known: frames(3) } });
      expect(stages).toContain(`reading disk 0 of ${reference}, which has no frame map: this is needed once`);
      await expect(bench.restore(next.reference)).resolves.toBe('AB.C');
    }
  });

  test('goes on from an export of version 1, which has no frame tables either', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB.C');
    const { reference } = await bench.exportDisks();
    const { frameTables: _tables, ...manifest } = parseManifest(await get(bench.store, keyOf(reference, 'manifest.json')), 'it');
    await put(bench.store, keyOf(reference, 'manifest.json'), JSON.stringify({ ...manifest, version: 1 }));
    await bench.store.remove([keyOf(reference, 'frames.table')]);
    await bench.fill('AD.C');
    const next = await bench.next();
    expect(next.incremental).toEqual({ parents: [reference], known: frames(2), new: frames(1), patched: PATCHED });
    await expect(bench.restore(next.reference)).resolves.toBe('AD.C');
  });

  test('finds for each disk the newest export that has it', async () => {
    await using bench = await makeDiskBench(new MemoryStore(), 2);
    await bench.fill('AB', 0);
    await bench.fill('CD', 1);
    const both = await bench.next();
    await bench.fill('AE', 0);
    const one = await bench.next({ disks: [0] });
    const all = await bench.next();
    expect(all).toMatchObject({ storedBytes: 0, incremental: { parents: [one.reference, both.reference] } });
    await expect(Promise.all([bench.restore(all.reference, 0), bench.restore(all.reference, 1)])).resolves.toEqual(['AE', 'CD']);
  });

  test('of an instance whose source sends its disks is one, too', async () => {
    await using bench = await makeDiskBench();
    const { source } = memoryTransfers({ disks: [Buffer.concat(['A', 'B'].map((letter) => Buffer.alloc(FRAME_SIZE, letter)))] });
    const request = { instance: bench.instance, store: bench.store, stateDirectory: bench.directory.file('state'), source };
    const first = await exportFromSource({ ...request, createStore: true, incremental: true });
    const second = await exportFromSource({ ...request, incremental: true });
    expect(second).toMatchObject({ storedBytes: 0, incremental: { parents: [first.reference], known: frames(2) } });
  });
});

describe('--base', () => {
  test('is an export of another instance: what a clone shares with its template is not stored', async () => {
    const store = new MemoryStore();
    await using template = await makeDiskBench(store);
    await template.fill('ABCD');
    const base = await template.next();
    await using clone = await makeDiskBench(store);
    await clone.fill('ABXD');
    const instance = { ...clone.instance, name: 'clone' };
    const first = await clone.next({ instance, base: base.reference });
    expect(first.incremental).toEqual({ parents: [base.reference], known: frames(3), new: frames(1), patched: PATCHED });
    await clone.fill('ACXD');
    const second = await clone.next({ instance, base: base.reference });
    expect(second).toMatchObject({ storedBytes: 0, incremental: { parents: [first.reference, base.reference], known: frames(4) } });
    await expect(clone.restore(second.reference)).resolves.toBe('ACXD');
  });

  test.each([
    ['by its id', '@', 'disk0.map'],
    ['as the newest', '', 'disk0.map'],
    ['and is removed meanwhile', '@', 'manifest.json'],
  ])('that is named %s, and cannot be used, is passed over', async (_how, separator, name) => {
    const store = new MemoryStore();
    await using template = await makeDiskBench(store);
    await template.fill('AB');
    const { reference } = await template.next();
    const instance = { ...template.instance, name: 'clone' };
    const breaking = whenCalled(store, '/export.claim', () => store.remove([keyOf(reference, name)]));
    const base = separator === '' ? template.instance.name : reference;
    const made = await template.next({ instance, base, store: breaking });
    expect(made.incremental).toMatchObject({ parents: [], new: frames(2) });
    expect(made.warnings[0]).toMatch(`${reference} cannot be the parent of this export`);
  });

  test('must be there, and have a disk that could be the same', async () => {
    const store = new MemoryStore();
    await using bench = await makeDiskBench(store, 2);
    const { reference } = await bench.next({ disks: [0] });
    await expect(bench.next({ base: 'other@20261123T081500Z' })).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
    await expect(bench.next({ base: reference, disks: [1] })).rejects.toMatchObject({ code: 'USAGE' });
    expect((await keysOf(store)).filter((key) => !key.startsWith(reference.replace('@', '/')))).toEqual([]);
  });
});

/** A store in which something happens once, after a call that ends so. */
function whenCalled(store: Store, end: string, happens: () => Promise<void>): Store {
  let isDone = false;
  return watchedStore(store, {
    after: async (call) => {
      if (isDone || !call.endsWith(end)) return;
      isDone = true;
      await happens();
    },
  });
}

describe('a parent', () => {
  const CLAIMED = '/export.claim';

  test('is named in the claim, with every export on which it rests', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    const first = await bench.next();
    await bench.fill('AC');
    const second = await bench.next();
    let parents: readonly string[] | undefined;
    const store = watchedStore(bench.store, {
      before: async (call) => {
        const [key] = call.startsWith('commit') && call.endsWith('/disk0.map') ? [call.slice('commit '.length)] : [];
        if (key !== undefined) parents = parseClaim(await get(bench.store, key.replace('disk0.map', 'export.claim')))?.parents;
      },
    });
    await bench.next({ store });
    expect(parents).toEqual([second.reference, first.reference]);
  });

  test.each([
    ['goes away', 'manifest.json', undefined, 'it was removed meanwhile'],
    ['loses a pack', 'disk0.pack.zst', undefined, 'disk0.pack.zst is missing, has another size, or is being removed'],
    ['has a pack that is cut off', 'disk0.pack.zst', 'short', 'disk0.pack.zst is missing, has another size, or is being removed'],
    ['has a pack that prune has marked', 'disk0.pack.zst.unused', '', 'disk0.pack.zst is missing, has another size, or is being removed'],
    ['has a damaged map', 'disk0.map', 'gantry-frame-map 1', 'disk0.map of'],
  ])('that %s after it was claimed is passed over', async (_what, name, content, reason) => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    const first = await bench.next();
    await bench.fill('AC');
    const second = await bench.next();
    const store = whenCalled(bench.store, CLAIMED, async () => {
      await bench.store.remove([keyOf(second.reference, name)]);
      if (content !== undefined) await put(bench.store, keyOf(second.reference, name), content);
    });
    const third = await bench.next({ store });
    expect(third.incremental).toMatchObject({ parents: [first.reference], known: frames(1), new: frames(1) });
    expect(third.warnings).toEqual([
      expect.stringMatching(new RegExp(`^${second.reference} cannot be the parent of this export: .*${reason}`)),
    ]);
    await expect(bench.restore(third.reference)).resolves.toBe('AC');
  });

  test('that was the only one leaves a full export, which says so', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    const first = await bench.next();
    const store = whenCalled(bench.store, CLAIMED, () => bench.store.remove([keyOf(first.reference, 'manifest.json')]));
    const second = await bench.next({ store });
    expect(second.incremental).toMatchObject({ parents: [], known: frames(0), new: frames(2) });
    expect(second.warnings).toEqual([
      `${first.reference} cannot be the parent of this export: it was removed meanwhile`,
      'no other export can be the parent of disk 0: everything of it is stored again',
    ]);
    expect((await openExport(bench.store, second.reference)).manifest?.version).toBe(2);
  });

  test('whose pack goes away during the export makes it fail, and nothing is left of it', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    const first = await bench.next();
    const before = await keysOf(bench.store);
    const pack = keyOf(first.reference, 'disk0.zst');
    const store = whenCalled(bench.store, '/disk0.map', () => bench.store.remove([pack]));
    await bench.fill('AC');
    await expect(bench.next({ store })).rejects.toMatchObject({ code: 'STORE_FAILED', message: expect.stringContaining(pack) });
    expect(await keysOf(bench.store)).toEqual(before.filter((key) => key !== pack));
  });

  test('that is damaged or not complete is not looked at', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    const first = await bench.next();
    await put(bench.store, `${bench.instance.name}/29991231T235959Z/manifest.json`, '{}');
    const header = {
      instance: bench.instance.name,
      started: '2999-01-01T00:00:00.000Z',
      runId: 'another',
      tool: { name: 'gantry', version: '1' },
    };
    await using _unfinished = await storeSink(bench.store).open(header);
    expect((await bench.next()).incremental?.parents).toEqual([first.reference]);
  });
});

describe('an exporter', () => {
  test('that may only add exports stores everything, and says so', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    await bench.next({ instance: { ...bench.instance, name: 'another' } });
    const denied = (call: string): void => {
      if (/^(list|read|stat|pending) /.test(call)) throw new StoreError('denied', { message: 'not yours' });
    };
    const second = await bench.next({ store: watchedStore(bench.store, { before: denied }) });
    expect(second.incremental).toMatchObject({ parents: [], new: frames(2) });
    expect(second.warnings).toContain('cannot read earlier exports (permission denied): everything is stored again');
    await expect(bench.restore(second.reference)).resolves.toBe('AB');
  });

  test('that finds the store full leaves nothing, and all that was there is complete', async () => {
    await using bench = await makeDiskBench();
    await bench.fill('AB');
    const first = await bench.next();
    await bench.fill('CB');
    const before = await keysOf(bench.store);
    for (const name of ['disk0.pack.zst', 'disk0.map', 'SHA256SUMS', 'manifest.json']) {
      const full = (call: string): void => {
        if (call.startsWith('append ') && call.endsWith(`/${name}`)) throw new StoreError('full', { message: 'no space left' });
      };
      await expect(bench.next({ store: watchedStore(bench.store, { before: full }) })).rejects.toMatchObject({ code: 'STORE_FULL' });
      expect(await keysOf(bench.store)).toEqual(before);
    }
    await expect(bench.restore(first.reference)).resolves.toBe('AB');
  });

  test('beside another one takes the same parent, and both are complete', async () => {
    const memory = new Memory();
    await using bench = await makeDiskBench(new MemoryStore(memory));
    await bench.fill('AB');
    const first = await bench.next();
    await bench.fill('AC');
    // Two hosts, which share neither locks nor state; each has chosen its parent before the other goes on.
    const chosen = Promise.withResolvers<void>();
    let waiting = 0;
    const before = async (call: string): Promise<void> => {
      if (!/^begin .*\/export\.claim$/.test(call)) return;
      waiting += 1;
      if (waiting >= 2) chosen.resolve();
      await chosen.promise;
    };
    const hosts = ['one', 'two'].map((host) => ({
      store: watchedStore(new MemoryStore(memory), { before }),
      stateDirectory: bench.directory.file(host),
    }));
    const made = await Promise.all(hosts.map((host) => bench.next(host)));
    for (const { reference, incremental } of made) {
      expect(incremental).toMatchObject({ parents: [first.reference], known: frames(1), new: frames(1) });
      await expect(bench.restore(reference)).resolves.toBe('AC');
    }
    expect(new Set(made.map(({ exportId }) => exportId)).size).toBe(2);
  });
});

test('with a limit for its lineage, an export becomes a full one when it is due', async () => {
  const bench = await makeDiskBench();
  await using _bench = bench;
  const kinds: string[] = [];
  for (const frames of ['ab', 'ac', 'ad', 'ad', 'ae', 'ae', 'af']) {
    await bench.fill(frames);
    const { reference } = await bench.next({ fullEvery: 3 });
    const { manifest } = await openExport(bench.store, reference);
    kinds.push(`${manifest?.version} ${manifest?.sinceFull}`);
    expect(await bench.restore(reference)).toBe(frames);
  }
  expect(kinds).toEqual(['2 undefined', '3 1', '3 2', '2 undefined', '3 1', '3 2', '2 undefined']);
});

test('an export becomes a full one before it refers to more packs than a frame map may have', async () => {
  const bench = await makeDiskBench();
  await using _bench = bench;
  await bench.fill('ab');
  await bench.next();
  await bench.fill('ac');
  const { reference } = await bench.next();
  const key = keyOf(reference, 'manifest.json');
  const manifest = parseManifest(await get(bench.store, key), 'it');
  const dumps = manifest.dumps.map((dump) => {
    const packs = dump.map?.packs ?? [];
    const others = Array.from({ length: 8000 }, (_, index) => ({ ...packs[0], exportId: makeExportId(new Date(index * 1000), 1) }));
    return { ...dump, map: { ...dump.map, packs: [...packs, ...others] } };
  });
  await put(bench.store, key, JSON.stringify({ ...manifest, dumps }));
  const said: string[] = [];
  const next = await bench.next({ onEvent: (event) => event.type === 'stage' && said.push(event.message) });
  expect(said).toContain('a full export is due: this one would refer to 8002 packs for disk 0 (at most 8000 are allowed)');
  expect((await openExport(bench.store, next.reference)).manifest).toMatchObject({ version: 2 });
  expect(await bench.restore(next.reference)).toBe('ac');
});

test('tags and a note are in the manifest', async () => {
  const bench = await makeDiskBench();
  await using _bench = bench;
  await bench.fill('a');
  const { reference } = await bench.next({ labels: { tags: ['before-upgrade'], note: 'to 13' } });
  expect((await openExport(bench.store, reference)).manifest).toMatchObject({ tags: ['before-upgrade'], note: 'to 13' });
  await expect(bench.next({ labels: { tags: ['a,b'] } })).rejects.toMatchObject({ code: 'USAGE' });
});
