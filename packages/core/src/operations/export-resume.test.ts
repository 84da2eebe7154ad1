import { readFile, writeFile } from 'node:fs/promises';

import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { makeRandomFile, makeSparseFile } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { cutWhenStored } from '../../test/cut-when-stored.ts';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, put } from '../../test/sample-export.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { removeExport } from '../exports/remove-export.ts';
import { surveyStore } from '../exports/survey.ts';
import { consolidateExport } from './consolidate.ts';
import type { ExportRequest, ExportResult } from './export.ts';

/** What is left of an export is taken over under a lock of the host with its name: no other file of tests may have the same one. */
const NAME = 'resumed.example.com';
const MiB = 1024 * 1024;
const FRAMES = 10;
const DISK_BYTES = FRAMES * 4 * MiB;

interface Bench extends OperationBench {
  readonly memory: Memory;
  /** What the exports said of their disks. */
  readonly said: string[];
  readonly paths: readonly string[];
  /** Exports the disks as they are, unless another OS definition is given. */
  attempt(request?: Partial<ExportRequest> & { readonly os?: string }): Promise<ExportResult>;
  /** Imports, and compares with the disks. */
  expectSame(reference: string, from?: { readonly store?: Store; readonly os?: string }): Promise<void>;
  /** The names of all objects. */
  names(): Promise<readonly string[]>;
}

/** Scripts fail after half of a disk of the usual size beside which there is a file with `.half`. */
async function openBench(disks = 1, diskBytes = DISK_BYTES): Promise<Bench> {
  const memory = new Memory();
  const store = new MemoryStore(memory);
  const half = `if [ -e "$EXPORT_DEVICE.half" ]; then head -c ${DISK_BYTES / 2} "$EXPORT_DEVICE"; exit 3; fi; cat "$EXPORT_DEVICE"`;
  const bench = await makeOperationBench({ scripts: { export: half }, store });
  const paths = Array.from({ length: disks }, (_, index) => bench.directory.file(`large${index}.img`));
  for (const path of paths) await makeRandomFile(path, diskBytes, path);
  const instanceOf = (all: readonly string[], os: string) =>
    sampleInstance({ name: NAME, os, disks: all.map((path) => ({ path, access: 'rw' })) });
  const said: string[] = [];
  return {
    ...bench,
    memory,
    said,
    paths,
    attempt: ({ os = 'raw', ...request } = {}) =>
      bench.exportDisks({
        instance: instanceOf(paths, os),
        incremental: true,
        onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk ') && said.push(event.message),
        ...request,
      }),
    async expectSame(reference, { store: from = store, os = 'raw' } = {}) {
      const targets = paths.map((path) => `${path}.target`);
      for (const target of targets) await makeSparseFile(target, diskBytes);
      await bench.importDisks(reference, { instance: instanceOf(targets, os), store: from });
      for (const [index, target] of targets.entries())
        expect((await readFile(target)).equals(await readFile(paths[index] ?? '')), `disk ${index}`).toBe(true);
    },
    names: async () => (await keysOf(store)).map((key) => key.split('/').at(-1) ?? ''),
  };
}

async function keysOf(store: Store): Promise<readonly string[]> {
  return (await Array.fromAsync(store.list(''))).map(({ key }) => key);
}

describe('an incremental export that is cut off', () => {
  test('leaves what it has stored for the next one, also the first of a lineage; nothing is stored twice', async () => {
    await using bench = await openBench();
    await expect(bench.attempt(cutWhenStored(bench.store, DISK_BYTES / 2))).rejects.toThrow('cut off');
    expect(await bench.names()).toEqual(['gantry-store.json', 'cut-off.json', 'disk0.map', 'disk0.zst', 'removed.json']);
    const result = await bench.attempt();
    expect(bench.said).toEqual([expect.stringMatching(/^disk 0: going on with what \S+, which was cut off, has stored$/)]);
    const { known, new: added } = result.incremental ?? {};
    expect(known?.frames).toBeGreaterThanOrEqual(FRAMES / 2);
    expect((known?.frames ?? 0) + (added?.frames ?? 0)).toBe(FRAMES);
    expect(result.storedBytes).toBeLessThan(DISK_BYTES - (known?.bytes ?? 0) + MiB);
    await bench.expectSame(result.reference);
    expect(await bench.names()).not.toContain('cut-off.json');
    const next = await bench.attempt();
    expect(next.incremental).toMatchObject({ parents: [result.reference], known: { frames: FRAMES } });
    await bench.expectSame(next.reference);
  });

  test('several times, with a parent, goes on from all that was stored; a prune in between leaves that alone', async () => {
    await using bench = await openBench();
    const first = await bench.attempt();
    for (const path of bench.paths) await makeRandomFile(path, DISK_BYTES, 'another');
    for (const part of [0.3, 0.3]) await expect(bench.attempt(cutWhenStored(bench.store, part * DISK_BYTES))).rejects.toThrow('cut off');
    const left = (await Array.fromAsync(surveyStore(bench.store))).flat();
    expect(left.filter(({ state }) => state === 'unrelated')).toHaveLength(2);
    const result = await bench.attempt();
    expect(result.incremental?.parents).toEqual([first.reference]);
    expect(result.incremental?.known.frames).toBeGreaterThanOrEqual(0.5 * FRAMES);
    await bench.expectSame(result.reference);
    const after = (await Array.fromAsync(surveyStore(bench.store))).flat();
    expect(after.filter(({ state }) => state === 'removed')).toHaveLength(2);
  });

  test('is passed over if its frame map is not what it was', async () => {
    await using bench = await openBench();
    await expect(bench.attempt(cutWhenStored(bench.store, DISK_BYTES / 2))).rejects.toThrow('cut off');
    const key = (await keysOf(bench.store)).find((each) => each.endsWith('/disk0.map')) ?? '';
    const map = await get(bench.store, key);
    // It is still a valid map, of the same size.
    await put(bench.store, key, map.replace(/(frame \d+ )[0-9a-f]{64}/, `$1${'ab'.repeat(32)}`));
    const result = await bench.attempt();
    expect(bench.said).toEqual([]);
    expect(result.storedBytes).toBeGreaterThanOrEqual(DISK_BYTES);
    await bench.expectSame(result.reference);
  });

  test('by the script of one disk fails with its error, and what there is of all disks is kept', async () => {
    await using bench = await openBench(2);
    await makeRandomFile(`${bench.paths[1]}.half`, 1, 'half');
    await expect(bench.attempt({ os: 'mine', parallel: 1 })).rejects.toMatchObject({ code: 'SCRIPT_FAILED', disk: 1 });
    expect((await bench.names()).filter((name) => name.endsWith('.map'))).toEqual(['disk0.map', 'disk1.map']);
    const result = await bench.attempt();
    await bench.expectSame(result.reference);
  });

  test('can be forgotten by removing what is left of it', async () => {
    await using bench = await openBench();
    await expect(bench.attempt(cutWhenStored(bench.store, DISK_BYTES / 2))).rejects.toThrow('cut off');
    const [instance, id] = (await keysOf(bench.store)).find((key) => key.endsWith('cut-off.json'))?.split('/') ?? [];
    await removeExport(bench.store, `${instance}@${id}`);
    expect(await bench.names()).toEqual(['gantry-store.json']);
  });

  test('leaves nothing if it had stored nothing, or was not incremental', async () => {
    await using bench = await openBench();
    await expect(bench.attempt({ signal: AbortSignal.abort(new Error('at once')) })).rejects.toThrow('at once');
    await expect(bench.attempt({ ...cutWhenStored(bench.store, DISK_BYTES / 2), incremental: false })).rejects.toThrow('cut off');
    expect((await bench.names()).filter((name) => name !== 'gantry-store.json')).toEqual([]);
  });
});

/** What is in the store if the process is killed now, some bytes of each write being not durable. */
function afterKill({ objects, unfinished }: Memory, lostBytes = 0): Memory {
  const left = new Memory();
  for (const [key, object] of objects) {
    const isClaim = key.endsWith('/export.claim');
    const claim: unknown = isClaim ? JSON.parse(object.bytes.toString()) : undefined;
    // No process with that number began so early.
    const bytes = isClaim ? Buffer.from(JSON.stringify(claim).replace(/"startTime":\d+/, '"startTime":1')) : object.bytes;
    left.objects.set(key, { ...object, bytes });
  }
  for (const [token, write] of unfinished) {
    const bytes = write.bytes.subarray(0, Math.max(0, write.bytes.length - lostBytes));
    left.unfinished.set(token, { ...write, bytes, holder: undefined });
  }
  return left;
}

/** Exports until this many bytes are in the store, and is killed then. */
async function killedAt(bench: Bench, bytes: number, request: Parameters<Bench['attempt']>[0] = {}, lostBytes = 0): Promise<Memory> {
  const left: Memory[] = [];
  const cut = cutWhenStored(bench.store, bytes, () => left.push(afterKill(bench.memory, lostBytes)));
  await expect(bench.attempt({ ...request, ...cut })).rejects.toThrow('cut off');
  return left[0] ?? expect.fail('it was not killed');
}

describe('an incremental export that is killed', () => {
  test.each(['zstd', 'gzip', 'none'] as const)('leaves what is durable of a disk that was under way (%s)', async (codec) => {
    await using bench = await openBench();
    const store = new MemoryStore(await killedAt(bench, 0.7 * DISK_BYTES, { codec }, 1000));
    const result = await bench.attempt({ store, codec });
    expect(bench.said).toEqual([expect.stringMatching(/^disk 0: going on with what \S+, which was cut off, has stored$/)]);
    const { known, new: added } = result.incremental ?? {};
    expect(known?.frames).toBeGreaterThanOrEqual(0.5 * FRAMES);
    expect((known?.frames ?? 0) + (added?.frames ?? 0)).toBe(FRAMES);
    expect(result.storedBytes).toBeLessThan(DISK_BYTES - (known?.bytes ?? 0) + MiB);
    await bench.expectSame(result.reference, { store });
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
    expect(await keysOf(store)).not.toContainEqual(expect.stringMatching(/export\.claim$|cut-off\.json$/));
  });

  test('leaves the new frames of a script, but not those that are patches, which need a frame that it does not name', async () => {
    await using bench = await openBench();
    await bench.attempt({ os: 'mine' });
    const [path = ''] = bench.paths;
    const disk = await readFile(path);
    const at = DISK_BYTES / 4;
    await makeRandomFile(path, DISK_BYTES, 'another');
    const another = await readFile(path);
    // A page here and there, and then something else.
    for (let page = 0; page < at; page += MiB) another.copy(disk, page, page, page + 4096);
    another.copy(disk, at, at);
    await writeFile(path, disk);
    const store = new MemoryStore(await killedAt(bench, 0.5 * DISK_BYTES, { os: 'mine' }));
    const result = await bench.attempt({ store, os: 'mine' });
    expect(bench.said).toHaveLength(1);
    expect(result.storedBytes).toBeLessThan(0.5 * DISK_BYTES);
    await bench.expectSame(result.reference, { store, os: 'mine' });
  });

  test('leaves nothing to an export that is not incremental, or where nothing in it can be read', async () => {
    await using bench = await openBench();
    const left = await killedAt(bench, 0.7 * DISK_BYTES);
    const another = new MemoryStore(afterKill(left));
    for (const [token, write] of left.unfinished) left.unfinished.set(token, { ...write, bytes: Buffer.alloc(write.bytes.length, 'x') });
    const store = new MemoryStore(left);
    await bench.attempt({ store });
    expect(bench.said).toEqual([]);
    const result = await bench.attempt({ store: another, incremental: false });
    for (const each of [store, another]) {
      expect(await Array.fromAsync(each.pending(''))).toEqual([]);
      expect(await keysOf(each)).not.toContainEqual(expect.stringMatching(/export\.claim$/));
    }
    expect((await keysOf(store)).filter((key) => key.endsWith('.zst'))).toHaveLength(1);
    await bench.expectSame(result.reference, { store: another });
  });

  test('and the next one too, at any call while it takes that over, loses nothing of it', async () => {
    await using bench = await openBench(1, 12 * MiB);
    const left = await killedAt(bench, 8 * MiB);
    const takesOver = /^(?:salvage|begin .*map$|commit .*(?:map|cut-off\.json|removed\.json)$|clear|remove .*claim$)/;
    let kills = 0;
    for (let isOver = false; !isOver; kills += 1) {
      const memory = afterKill(left);
      let calls = 0;
      let killed: Memory | undefined;
      const dying = watchedStore(new MemoryStore(memory), {
        before: (call) => {
          if (takesOver.test(call) && calls++ === kills) killed = afterKill(memory);
          if (killed !== undefined) throw new Error('killed');
        },
      });
      await bench.attempt({ store: dying }).catch(() => undefined);
      isOver = killed === undefined;
      if (killed === undefined) continue;
      const store = new MemoryStore(killed);
      const result = await bench.attempt({ store });
      expect(result.incremental?.known.frames, `before call ${kills + 1}`).toBeGreaterThan(0);
      await bench.expectSame(result.reference, { store });
    }
    expect(kills).toBeGreaterThan(6);
  });

  test('as one whose store cannot be reached any more, which removes nothing of it', async () => {
    await using bench = await openBench();
    let sent = 0;
    const alter = (_key: string, chunk: Uint8Array): Uint8Array => {
      sent += chunk.length;
      if (sent > 0.7 * DISK_BYTES) throw new StoreError('unavailable', { message: 'the connection was cut' });
      return chunk;
    };
    const cut = watchedStore(bench.store, { alter });
    await expect(bench.attempt({ store: cut })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const store = new MemoryStore(afterKill(bench.memory));
    const result = await bench.attempt({ store });
    expect(result.incremental?.known.frames).toBeGreaterThanOrEqual(0.5 * FRAMES);
    await bench.expectSame(result.reference, { store });
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });

  test.each(['unavailable', 'integrity'] as const)(
    'leaves nothing of a disk that cannot be read back (%s), and fails nothing',
    async (code) => {
      await using bench = await openBench();
      const memory = await killedAt(bench, 0.7 * DISK_BYTES);
      const before = (call: string): void => {
        if (/^read .*disk0\.zst$/.test(call)) throw new StoreError(code, { message: 'a sector cannot be read' });
      };
      const result = await bench.attempt({ store: watchedStore(new MemoryStore(memory), { before }) });
      const store = new MemoryStore(memory);
      expect(bench.said).toEqual([]);
      await bench.expectSame(result.reference, { store });
      expect(await Array.fromAsync(store.pending(''))).toEqual([]);
      expect((await keysOf(store)).filter((key) => /export\.claim$|\.zst$/.test(key))).toHaveLength(1);
    },
  );

  test('stays as it is while the store is not available for it', async () => {
    await using bench = await openBench();
    const memory = await killedAt(bench, 0.7 * DISK_BYTES);
    const left = await Array.fromAsync(new MemoryStore(memory).pending(''));
    const before = (call: string): void => {
      if (call.startsWith('salvage ')) throw new StoreError('unavailable', { message: 'the connection was cut' });
    };
    const result = await bench.attempt({ store: watchedStore(new MemoryStore(memory), { before }) });
    expect(result.warnings).toEqual([expect.stringContaining('It stays for the next incremental export')]);
    const store = new MemoryStore(memory);
    expect(await Array.fromAsync(store.pending(''))).toEqual(left);
    await bench.attempt({ store });
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });

  test('stays as it is when another one is consolidated', async () => {
    await using bench = await openBench();
    await bench.attempt();
    const { reference } = await bench.attempt();
    for (const path of bench.paths) await makeRandomFile(path, DISK_BYTES, 'another');
    const store = new MemoryStore(await killedAt(bench, 0.7 * DISK_BYTES));
    const left = await Array.fromAsync(store.pending(''));
    expect(left).toHaveLength(1);
    expect(await consolidateExport({ store, export: reference })).toMatchObject({ consolidated: true, warnings: [] });
    expect(await Array.fromAsync(store.pending(''))).toEqual(left);
  });
});
