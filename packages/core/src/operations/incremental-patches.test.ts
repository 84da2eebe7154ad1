import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import type { OperationBench, OperationBenchOptions } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { getBytes, put } from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { readFrameMap } from '../exports/frame-maps.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { collect } from '../frames/testing/streams.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import type { ExportRequest, ExportResult } from './export.ts';
import { verifyExport } from './verify.ts';

const { signal } = new AbortController();
const MiB = 1024 * 1024;
const PAGE = 8192;

interface LineageBench extends OperationBench {
  readonly path: string;
  /** An incremental export of the disk with these bytes, which can be read again and is intact. */
  readonly next: (bytes: Uint8Array, request?: Partial<ExportRequest>) => Promise<ExportResult & { readonly map: FrameMap }>;
}

async function makeLineageBench(options: OperationBenchOptions = {}): Promise<LineageBench> {
  const bench = await makeOperationBench({ store: new MemoryStore(), ...options });
  const path = bench.instance.disks[0]?.path ?? expect.fail();
  return {
    ...bench,
    path,
    async next(bytes, request) {
      await writeFile(path, bytes);
      const result = await bench.exportDisks({ incremental: true, ...request });
      const found = await openExport(bench.store, result.reference);
      const [dump = expect.fail()] = found.dumps;
      const pieces = readDump(found, dump, { budget: new MemoryBudget(64 * MiB), signal, warn: (message) => expect.fail(message) });
      expect((await collect(pieces)).equals(bytes)).toBe(true);
      const { manifest = expect.fail() } = found;
      const map = await readFrameMap(bench.store, manifest, manifest.dumps[0] ?? expect.fail());
      return { ...result, map: map ?? expect.fail('it has no frame map') };
    },
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
}

/** The same bytes, with other ones in some pages. */
function withPages(bytes: Buffer, pages: readonly number[]): Buffer {
  const changed = Buffer.from(bytes);
  for (const page of pages) randomBytes(PAGE).copy(changed, page * PAGE);
  return changed;
}

const kinds = (map: FrameMap): string[] => [...map].map(({ kind }) => kind);
const frames = (count: number): { frames: number; bytes: number } => ({ frames: count, bytes: count * FRAME_SIZE });

describe('a frame of a disk that changed a little', () => {
  test('is stored as its difference from a whole frame, never from another difference', async () => {
    await using bench = await makeLineageBench();
    const disk = randomBytes(3 * FRAME_SIZE);
    await bench.next(disk);
    const second = withPages(disk, [3, 40, 700]);
    const { map: secondMap, ...patched } = await bench.next(second);
    expect(patched.incremental).toMatchObject({ known: frames(1), new: frames(0), patched: frames(2) });
    expect(patched.storedBytes).toBeLessThan(6 * PAGE);
    expect(kinds(secondMap)).toEqual(['patch', 'patch', 'frame']);
    const third = withPages(second, [4]);
    const { map: thirdMap, reference, ...again } = await bench.next(third);
    expect(again.incremental).toMatchObject({ known: frames(2), patched: frames(1) });
    // The difference of both days together, from the frame of the first.
    expect(again.storedBytes).toBeGreaterThan(3 * PAGE);
    expect(thirdMap.at(0)).toMatchObject({ base: secondMap.at(0)?.kind === 'patch' ? { offset: 0 } : expect.fail() });
    await expect(verifyExport({ store: bench.store, export: reference, signal })).resolves.toBeDefined();
  });

  test('is stored whole if it changed too much, and is a base then', async () => {
    await using bench = await makeLineageBench();
    const disk = randomBytes(FRAME_SIZE);
    await bench.next(disk);
    const half = withPages(
      disk,
      Array.from({ length: 260 }, (_, index) => index),
    );
    expect(kinds((await bench.next(half)).map)).toEqual(['frame']);
    const { map, storedBytes } = await bench.next(withPages(half, [5]));
    expect(kinds(map)).toEqual(['patch']);
    expect(storedBytes).toBeLessThan(4 * PAGE);
  });

  test('is stored whole without patches: no earlier frame is read, and every export can be restored', async () => {
    const calls: StoreCall[] = [];
    await using bench = await makeLineageBench({
      store: watchedStore(new MemoryStore(), { before: (call) => void calls.push(call) }),
    });
    const first = randomBytes(3 * FRAME_SIZE);
    const second = withPages(first, [3, 700]);
    const third = withPages(second, [4, 1030]);
    const kept: { readonly bytes: Buffer; readonly reference: string }[] = [
      { bytes: first, reference: (await bench.next(first)).reference },
    ];
    for (const { bytes, patches, reads } of [
      { bytes: second, patches: true, reads: 2 },
      { bytes: third, patches: false, reads: 0 },
    ]) {
      await writeFile(bench.path, bytes);
      calls.length = 0;
      const { reference, incremental } = await bench.exportDisks({ incremental: true, patches });
      expect(calls.filter((call) => /^read .*\.zst$/.test(call))).toHaveLength(reads);
      expect(incremental).toMatchObject(patches ? { patched: frames(2) } : { known: frames(1), new: frames(2), patched: frames(0) });
      kept.push({ bytes, reference });
    }
    for (const { bytes, reference } of kept) {
      await bench.importDisks(reference, { yes: true });
      expect((await readFile(bench.path)).equals(bytes)).toBe(true);
    }
  });

  test('is stored whole in a codec without differences, and where its base is in another one', async () => {
    await using bench = await makeLineageBench();
    const disk = randomBytes(FRAME_SIZE);
    await bench.next(disk, { codec: 'gzip' });
    const second = withPages(disk, [1]);
    expect(kinds((await bench.next(second)).map)).toEqual(['frame']);
    expect(kinds((await bench.next(withPages(second, [2]), { codec: 'gzip' })).map)).toEqual(['frame']);
  });

  test('is stored whole if its base is damaged, which is said once', async () => {
    await using bench = await makeLineageBench();
    const disk = randomBytes(3 * FRAME_SIZE);
    const { reference } = await bench.next(disk);
    const key = `${reference.replace('@', '/')}/disk0.zst`;
    const dump = await getBytes(bench.store, key);
    await bench.store.remove([key]);
    await put(bench.store, key, dump.fill(0xaa, 0, 100));
    const { map, warnings, storedBytes } = await bench.next(withPages(disk, [1, 513, 1025]));
    expect(map.at(0)?.kind).toBe('frame');
    expect(storedBytes).toBeGreaterThan(FRAME_SIZE);
    expect(warnings).toEqual([
      `disk 0: cannot read ../${reference.split('@')[1]}/disk0.zst at stored byte 0 (a zstd frame does not start here): from here on, changed frames are stored whole`,
    ]);
  });
});

describe('what a script writes', () => {
  const scripts = {};

  test('is cut by its content: what comes after an insertion is not stored again', async () => {
    await using bench = await makeLineageBench({ scripts });
    const stream = randomBytes(12 * MiB);
    const first = await bench.next(stream);
    expect(first.storedBytes).toBeGreaterThan(12 * MiB);
    const second = await bench.next(Buffer.concat([stream.subarray(0, 1000), Buffer.from('grown'), stream.subarray(1000)]));
    expect(second.incremental?.parents).toEqual([first.reference]);
    expect(second.storedBytes).toBeLessThan(4 * MiB);
    const found = await openExport(bench.store, second.reference);
    expect(found.manifest).toMatchObject({ version: 3, dumps: [{ frameSize: 4 * MiB, map: { cut: 'content' } }] });
    await bench.importDisks(second.reference, { yes: true });
    expect((await readFile(bench.path)).subarray(1000, 1005).toString()).toBe('grown');
  });

  test('is stored as its difference from what was near, where something changed in every frame, as the times in a dump', async () => {
    await using bench = await makeLineageBench({ scripts });
    const files = Array.from({ length: 300 }, () => randomBytes(20_000));
    // Also at its end: the last frame may be shorter than one file.
    const dump = (time: string): Buffer => Buffer.concat([...files.flatMap((file) => [Buffer.from(time), file]), Buffer.from(time)]);
    await bench.next(dump('Monday'));
    const second = await bench.next(Buffer.concat([Buffer.alloc(10_000, 'grown'), dump('Tuesday')]));
    expect(second.incremental?.known.frames).toBe(0);
    expect(second.storedBytes).toBeLessThan(MiB);
  });

  test('shares nothing with a disk that was exported as it is', async () => {
    await using bench = await makeLineageBench({ scripts });
    const disk = randomBytes(MiB);
    await bench.next(disk, { instance: { ...bench.instance, os: 'raw' } });
    expect((await bench.next(disk)).incremental).toMatchObject({ parents: [] });
  });
});
