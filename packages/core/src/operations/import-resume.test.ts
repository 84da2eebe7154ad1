import { randomBytes } from 'node:crypto';
import { open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { attachLoopDevice } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { SAMPLE_FRAME_BYTES, SampleLineage } from '../../test/sample-lineage.ts';
import { get, put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import type { ImportRequest } from './import.ts';

const MiB = 1024 * 1024;
const FRAME = SAMPLE_FRAME_BYTES;

/** The disk of 12 MiB that the tests export: data, zeros, data. */
const DISK = Buffer.concat([randomBytes(4 * MiB), Buffer.alloc(4 * MiB), randomBytes(4 * MiB)]);

interface Target {
  readonly bench: OperationBench;
  readonly path: string;
  readonly reference: string;
  readonly resume: (request?: Partial<ImportRequest>) => ReturnType<OperationBench['importDisks']>;
}

/** An export of {@link DISK}, and another disk of the same instance on which an earlier import left something. */
async function makeTarget(bench: OperationBench, left: Buffer): Promise<Target> {
  await writeFile(bench.instance.disks[0]?.path ?? '', DISK);
  const { reference } = await bench.exportDisks();
  const path = bench.directory.file('target.img');
  await writeFile(path, left);
  const instance = { ...bench.instance, disks: [{ path, access: 'rw' as const }] };
  return { bench, path, reference, resume: (request) => bench.importDisks(reference, { instance, resume: true, ...request }) };
}

test.each([
  ['nothing but zeros', Buffer.alloc(DISK.length), 8 * MiB],
  ['all of it', DISK, 0],
  ['the beginning', Buffer.concat([DISK.subarray(0, 4 * MiB), Buffer.alloc(8 * MiB, 'x')]), 8 * MiB],
])('an import that left %s goes on, and writes what differs', async (_what, left, atMost) => {
  await using bench = await makeOperationBench({});
  const { path, resume } = await makeTarget(bench, left);
  const before = await stat(path);
  const { plainBytes, resumed } = await resume();
  expect((await readFile(path)).equals(DISK)).toBe(true);
  expect(plainBytes).toBe(DISK.length);
  expect(resumed).toEqual([{ disk: 0, comparedBytes: DISK.length, readBytes: expect.any(Number), writtenBytes: expect.any(Number) }]);
  expect(resumed?.[0]?.writtenBytes).toBeLessThanOrEqual(atMost);
  if (atMost === 0) expect((await stat(path)).mtimeMs).toBe(before.mtimeMs);
});

test('holes of a file that should be zeros are neither read nor written', async () => {
  await using bench = await makeOperationBench({});
  const { path, resume } = await makeTarget(bench, Buffer.alloc(0));
  await truncate(path, DISK.length);
  {
    await using file = await open(path, 'r+');
    await file.write(DISK, 0, 4 * MiB, 0);
  }
  const { resumed } = await resume();
  expect((await readFile(path)).equals(DISK)).toBe(true);
  expect(resumed).toMatchObject([{ readBytes: 8 * MiB, writtenBytes: 4 * MiB }]);
});

test('a block device is compared and written in place', async () => {
  await using bench = await makeOperationBench({});
  const { path, resume } = await makeTarget(bench, Buffer.alloc(DISK.length, 'x'));
  await using device = await attachLoopDevice(path);
  const instance = { ...bench.instance, disks: [{ path: device.path, access: 'rw' as const }] };
  const { resumed } = await resume({ instance });
  expect((await readFile(device.path)).equals(DISK)).toBe(true);
  expect(resumed).toMatchObject([{ writtenBytes: DISK.length }]);
  expect(await resume({ instance })).toMatchObject({ resumed: [{ readBytes: DISK.length, writtenBytes: 0 }] });
});

/** A store that notes which ranges of packs are read. */
function notingReads(store: Store): { readonly store: Store; readonly reads: string[] } {
  const reads: string[] = [];
  const noting = watchedStore(store, {
    before: (call) => {
      if (/^read .*disk0\.(pack\.)?zst$/.test(call)) reads.push(call);
    },
  });
  return { store: noting, reads };
}

test('with a frame map, frames that the disk holds are not read from the store', async () => {
  const { store, reads } = notingReads(new MemoryStore());
  const lineage = new SampleLineage(store);
  const frames = Array.from({ length: 9 }, (_, index) => (index === 4 ? Buffer.alloc(FRAME) : randomBytes(FRAME)));
  await lineage.full(frames, 'zstd', 'raw');
  const changed = frames.with(2, randomBytes(FRAME)).with(5, Buffer.concat([frames[5]?.subarray(9) ?? Buffer.of(), randomBytes(9)]));
  const { reference } = await lineage.incremental(changed, { patches: true, os: 'raw' });
  await using bench = await makeOperationBench({ store });
  const path = bench.directory.file('target.img');
  const instance = sampleInstance({ os: 'raw', disks: [{ path, access: 'rw' }] });
  await writeFile(path, Buffer.concat(changed).fill('x', 7 * FRAME, 8 * FRAME));
  reads.length = 0;
  const { resumed } = await bench.importDisks(reference, { instance, resume: true });
  expect((await readFile(path)).equals(Buffer.concat(changed))).toBe(true);
  expect(resumed).toEqual([{ disk: 0, comparedBytes: 9 * FRAME, readBytes: 9 * FRAME, writtenBytes: FRAME }]);
  // The first frame, whose beginning is looked at, and the one that differs.
  expect(reads).toHaveLength(2);
  await writeFile(path, Buffer.alloc(9 * FRAME));
  await bench.importDisks(reference, { instance, resume: true });
  expect((await readFile(path)).equals(Buffer.concat(changed))).toBe(true);
});

test.each([
  ['frame map is lost', 'disk0.map', undefined],
  ['frame map is damaged', 'disk0.map', /disk0\.map of \S+ is damaged: .*; the disk is compared with its dump/],
  ['frame table is lost', 'frames.table', undefined],
  ['frame table is damaged', 'frames.table', /frames\.table of \S+ is damaged: .*; the dump is read without it/],
])('a dump that is complete by itself does not need its map: its %s', async (what, name, warning) => {
  const store = new MemoryStore();
  await using bench = await makeOperationBench({ store });
  await writeFile(bench.instance.disks[0]?.path ?? '', DISK);
  const { reference } = await bench.exportDisks({ incremental: true });
  const key = `${reference.replace('@', '/')}/${name}`;
  if (what.endsWith('lost')) await store.remove([key]);
  else await put(store, key, (await get(store, key)).replace(/.$/s, '?'));
  const path = bench.directory.file('target.img');
  await writeFile(path, Buffer.concat([DISK.subarray(0, 8 * MiB), Buffer.alloc(4 * MiB)]));
  const instance = { ...bench.instance, disks: [{ path, access: 'rw' as const }] };
  const { resumed, warnings } = await bench.importDisks(reference, { instance, resume: true });
  expect((await readFile(path)).equals(DISK)).toBe(true);
  expect(resumed).toMatchObject([{ disk: 0, writtenBytes: 4 * MiB }]);
  expect(warnings).toEqual([warning === undefined ? expect.stringContaining(name) : expect.stringMatching(warning)]);
});

test('an export that needs its map is refused if that is damaged, and reads it once', async () => {
  const store = new MemoryStore();
  const lineage = new SampleLineage(store);
  const frames = [randomBytes(FRAME), randomBytes(FRAME)];
  await lineage.full(frames, 'zstd', 'raw');
  const { reference } = await lineage.incremental(frames.with(1, randomBytes(FRAME)), { os: 'raw' });
  const maps: string[] = [];
  const watched = watchedStore(store, { before: (call) => void (/^read .*disk0\.map/.test(call) && maps.push(call)) });
  await using bench = await makeOperationBench({ store: watched });
  const path = bench.directory.file('target.img');
  await writeFile(path, Buffer.alloc(2 * FRAME));
  const instance = sampleInstance({ os: 'raw', disks: [{ path, access: 'rw' }] });
  await bench.importDisks(reference, { instance, resume: true });
  expect(maps).toHaveLength(1);
  await store.remove([`${reference.replace('@', '/')}/disk0.map`]);
  await expect(bench.importDisks(reference, { instance, resume: true })).rejects.toMatchObject({ code: 'MAP_DAMAGED' });
});

test('a script starts anew, and that is said', async () => {
  await using bench = await makeOperationBench({ scripts: {} });
  const { reference } = await bench.exportDisks();
  const result = await bench.importDisks(reference, { resume: true });
  expect(result.warnings).toContain('--resume: the import script of mine starts anew');
  expect(result).not.toHaveProperty('resumed');
});

test('consent is asked for, a disk in use is refused, and one that is too small', async () => {
  await using bench = await makeOperationBench({});
  const { path, resume } = await makeTarget(bench, Buffer.alloc(DISK.length));
  const instance = sampleInstance({ name: 'web2.example.com', os: 'raw', disks: [{ path, access: 'rw' }] });
  await expect(resume({ instance })).rejects.toMatchObject({ code: 'CONFIRM_NEEDED' });
  await truncate(path, 4 * MiB);
  await expect(resume()).rejects.toMatchObject({ code: 'DISK_TOO_SMALL' });
  await truncate(path, DISK.length);
  await using _user = await open(path, 'r+');
  await expect(resume({ instance, yes: true })).rejects.toMatchObject({ code: 'BUSY' });
  expect((await readFile(path)).equals(Buffer.alloc(DISK.length))).toBe(true);
});

test('when it fails, the disk counts as written in part, by an earlier attempt or by this one', async () => {
  const store = new MemoryStore();
  await using bench = await makeOperationBench({ store });
  const { reference, path } = await makeTarget(bench, Buffer.alloc(DISK.length));
  const failing = watchedStore(store, {
    before: (call) => {
      if (call.startsWith('read') && call.endsWith('disk0.zst')) throw new Error('gone');
    },
  });
  const warnings: string[] = [];
  const instance = { ...bench.instance, disks: [{ path, access: 'rw' as const }] };
  const onEvent: ImportRequest['onEvent'] = (event) => void (event.type === 'warning' && warnings.push(event.message));
  await expect(bench.importDisks(reference, { store: failing, instance, resume: true, onEvent })).rejects.toThrow('gone');
  expect(warnings).toContain('written in part: import it again before it is used');
});
