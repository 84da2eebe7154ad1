import { randomBytes } from 'node:crypto';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { get, getBytes, keysOf, put, sha256 } from '../../test/sample-export.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { SAMPLE_FRAME_BYTES, SampleLineage } from '../../test/sample-lineage.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from '../exports/list-exports.ts';
import { parseManifest } from '../exports/manifest.ts';
import { openExport } from '../exports/open-export.ts';
import { readDump } from '../exports/read-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { zstdZeroFrame } from '../frames/zstd-zero-frame.ts';
import { consolidateExport } from './consolidate.ts';
import { verifyExport } from './verify.ts';

const run = promisify(execFile);
const FRAME = SAMPLE_FRAME_BYTES;
const { signal } = new AbortController();

/** The plain data of disk 0 of an export. */
async function diskOf(store: Store, reference: string): Promise<Buffer> {
  const found = await openExport(store, reference);
  const [dump] = found.dumps;
  if (dump === undefined) throw new Error('it has no dump');
  const pieces: Buffer[] = [];
  const warn = (message: string): void => expect.fail(message);
  for await (const piece of readDump(found, dump, { budget: new MemoryBudget(DEFAULT_BUDGET_BYTES), signal, warn })) {
    pieces.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
  }
  return Buffer.concat(pieces);
}

/** The files of an export, in a directory. */
async function unpack(store: Store, reference: string, directory: string): Promise<void> {
  const prefix = `${reference.replace('@', '/')}/`;
  for (const key of await keysOf(store, prefix)) await writeFile(`${directory}/${key.slice(prefix.length)}`, await getBytes(store, key));
}

interface Sample {
  readonly first: string;
  /** Has frames in its own pack and in that of the first export, zeros, and patches. */
  readonly second: string;
  readonly disk: Buffer;
}

const similar = (frame: Uint8Array = Buffer.of()): Buffer<ArrayBuffer> => Buffer.concat([frame.subarray(100), randomBytes(100)]);

/** Two exports; the disk ends within a frame. */
async function makeSample(store: Store, codec: 'zstd' | 'none' | 'gzip' = 'zstd'): Promise<Sample> {
  const lineage = new SampleLineage(store);
  const frames = Array.from({ length: 12 }, (_, index) => (index === 5 || index === 6 ? Buffer.alloc(FRAME) : randomBytes(FRAME)));
  const last = randomBytes(FRAME / 2);
  const first = await lineage.full([...frames, last]);
  const changed = frames.with(1, randomBytes(FRAME)).with(3, similar(frames[3])).with(8, Buffer.alloc(FRAME));
  const all = [...changed, last];
  const { reference: second } = await lineage.incremental(all, { patches: codec === 'zstd', codec });
  return { first, second, disk: Buffer.concat(all) };
}

test.each(['zstd', 'gzip', 'none'] as const)('a disk with more frames than a dump with %s can have is refused at once', async (codec) => {
  const store = new MemoryStore();
  const { second } = await makeSample(store, codec);
  const prefix = `${second.replace('@', '/')}/`;
  // Frames of one byte, and a run of zeros that needs as many of them as a number can say.
  const lines = (await get(store, `${prefix}disk0.map`)).split('\n').filter((line) => /^(?:gantry|pack)/.test(line));
  const text = `${[...lines, `zeros ${Number.MAX_SAFE_INTEGER}`, `end 1 ${Number.MAX_SAFE_INTEGER}`].join('\n')}\n`;
  const manifest = parseManifest(await get(store, `${prefix}manifest.json`), 'it');
  const dumps = manifest.dumps.map((dump) => ({
    ...dump,
    frameSize: 1,
    plainBytes: Number.MAX_SAFE_INTEGER,
    map: { ...dump.map, size: text.length, sha256: sha256(text) },
  }));
  await put(store, `${prefix}disk0.map`, text);
  await put(store, `${prefix}manifest.json`, JSON.stringify({ ...manifest, dumps }));
  await expect(consolidateExport({ store, export: second })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('it would have more than 33554432 frames'),
  });
  expect((await keysOf(store)).filter((key) => key.startsWith(`${second.replace('@', '/')}-2/`))).toEqual([]);
});

describe.each(['zstd', 'gzip', 'none'] as const)('an export whose pack has the codec %s', (codec) => {
  test('becomes a plain full one, of the same time, and the old one goes', async () => {
    const store = new MemoryStore();
    const { first, second, disk } = await makeSample(store, codec);
    const result = await consolidateExport({ store, export: second });
    expect(result).toMatchObject({ from: second, reference: `${second}-2`, consolidated: true, removed: true, plainBytes: disk.length });
    const { manifest } = await openExport(store, result.reference);
    expect(manifest).toMatchObject({ version: 2, frameTables: {}, dumps: [{ codec, plainBytes: disk.length, map: { cut: 'place' } }] });
    expect(manifest?.dumps[0]?.map?.packs).toMatchObject([{ exportId: manifest?.exportId, name: manifest?.dumps[0]?.name }]);
    await expect(openExport(store, second)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
    await expect(verifyExport({ store, export: result.reference })).resolves.toMatchObject({ plainBytes: disk.length });
    expect((await diskOf(store, result.reference)).equals(disk)).toBe(true);
    await expect(verifyExport({ store, export: first })).resolves.toMatchObject({ checksums: true });
    expect(result.copiedBytes + result.passedBytes).toBe(result.storedBytes);
    if (codec === 'zstd') expect(result.copiedBytes).toBeGreaterThan(7 * FRAME);
  });
});

test('standard tools read and check the result', async () => {
  await using home = await makeTemporaryDirectory();
  const store = new MemoryStore();
  const { second, disk } = await makeSample(store);
  const { reference } = await consolidateExport({ store, export: second });
  await unpack(store, reference, home.path);
  await run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: home.path });
  await run('zstd', ['-d', '-q', 'disk0.zst', '-o', 'disk'], { cwd: home.path });
  expect((await readFile(home.file('disk'))).equals(disk)).toBe(true);
  expect(await readFile(home.file('disk0.map'), 'utf8')).toMatch(/^gantry-frame-map 1\npack 0 disk0\.zst zstd /);
});

test('an export that is cut by content becomes one dump that is complete by itself, and is read by its map', async () => {
  await using home = await makeTemporaryDirectory();
  const store = new MemoryStore();
  const lineage = new SampleLineage(store);
  const full = Array.from({ length: 4 }, () => randomBytes(FRAME));
  await lineage.full(full);
  const frames = [randomBytes(FRAME - 77), ...full.slice(1), Buffer.alloc(FRAME / 2), randomBytes(13)];
  const { reference: second } = await lineage.incremental(frames);
  const { reference } = await consolidateExport({ store, export: second });
  const { manifest } = await openExport(store, reference);
  expect(manifest).toMatchObject({
    version: 3,
    dumps: [{ name: 'disk0.zst', frames: 6, map: { packs: [{ exportId: manifest?.exportId }] } }],
  });
  expect((await diskOf(store, reference)).equals(Buffer.concat(frames))).toBe(true);
  await unpack(store, reference, home.path);
  const { stdout } = await run('zstd', ['-dc', home.file('disk0.zst')], { encoding: 'buffer', maxBuffer: 64 * FRAME });
  expect(stdout.equals(Buffer.concat(frames))).toBe(true);
  await expect(verifyExport({ store, export: reference })).resolves.toMatchObject({ checksums: true });
  expect(await consolidateExport({ store, export: reference })).toMatchObject({ consolidated: false, reference });
});

test('what scripts wrote, exported incrementally, becomes plain and full', async () => {
  await using bench = await makeOperationBench({ scripts: {} });
  const path = bench.instance.disks[0]?.path ?? '';
  const plain = randomBytes(6 * 1024 * 1024);
  await writeFile(path, plain);
  await bench.exportDisks({ incremental: true });
  const grown = Buffer.concat([randomBytes(1000), plain]);
  await writeFile(path, grown);
  const { reference: second } = await bench.exportDisks({ incremental: true });
  const { reference, copiedBytes } = await consolidateExport({ store: bench.store, export: second });
  expect(copiedBytes).toBeGreaterThan(0);
  const { manifest } = await openExport(bench.store, reference);
  expect(manifest?.dumps).toMatchObject([{ name: 'disk0.zst', map: { cut: 'content', packs: [{ name: 'disk0.zst' }] } }]);
  await expect(verifyExport({ store: bench.store, export: reference })).resolves.toMatchObject({ plainBytes: grown.length });
  expect((await diskOf(bench.store, reference)).equals(grown)).toBe(true);
});

test('a plain full export stays as it is', async () => {
  const store = new MemoryStore();
  const { first } = await makeSample(store);
  const before = await keysOf(store);
  expect(await consolidateExport({ store, export: first })).toMatchObject({ consolidated: false, removed: false, reference: first });
  expect(await keysOf(store)).toEqual(before);
});

test('through a store that cannot copy, everything passes, and is checked anyway', async () => {
  const memory = new Memory();
  const store = watchedStore(new MemoryStore(memory), { capabilities: { rangedCopy: false } });
  const { second, disk } = await makeSample(store);
  const { reference, copiedBytes, storedBytes, passedBytes } = await consolidateExport({ store, export: second });
  expect({ copiedBytes, passedBytes }).toEqual({ copiedBytes: 0, passedBytes: storedBytes });
  expect((await diskOf(store, reference)).equals(disk)).toBe(true);
});

test('packs that later exports need stay', async () => {
  const store = new MemoryStore();
  const lineage = new SampleLineage(store);
  const frames = Array.from({ length: 6 }, () => randomBytes(FRAME));
  await lineage.full(frames);
  const changed = frames.with(1, randomBytes(FRAME));
  const { reference: second } = await lineage.incremental(changed);
  const { reference: third } = await lineage.incremental(changed.with(2, randomBytes(FRAME)));
  await consolidateExport({ store, export: second });
  await expect(verifyExport({ store, export: third })).resolves.toMatchObject({ plainBytes: 6 * FRAME });
});

test.each([
  ['a frame of another export is damaged', 'disk0.zst', 'DUMP_DAMAGED'],
  ['a frame of its own is damaged', 'disk0.pack.zst', 'DUMP_DAMAGED'],
])('where %s, the old export stays, and nothing of a new one', async (_what, name, code) => {
  const store = new MemoryStore();
  const { second } = await makeSample(store);
  const key = (await keysOf(store)).find((each) => each.endsWith(`/${name}`)) ?? '';
  const bytes = await getBytes(store, key);
  bytes[FRAME / 2] = (bytes[FRAME / 2] ?? 0) ^ 1;
  await put(store, key, bytes);
  const before = await keysOf(store);
  await expect(consolidateExport({ store, export: second })).rejects.toMatchObject({ code, disk: 0 });
  expect(await keysOf(store)).toEqual(before);
});

function middleOfZeros(stored: Buffer): number {
  const zeros = zstdZeroFrame(FRAME);
  const start = stored.indexOf(zeros);
  // Else another frame would be made wrong.
  expect(start).toBeGreaterThan(0);
  return start + zeros.length / 2;
}

test.each([
  ['a frame', () => 3 * FRAME],
  ['a frame of zeros', middleOfZeros],
])('a copy in which the store made %s wrong is found before the old export goes', async (_what, placeIn) => {
  const memory = new Memory();
  const store = new MemoryStore(memory);
  const { second } = await makeSample(store);
  const before = await keysOf(store);
  const lying = watchedStore(store, {
    after: (call) => {
      const object = /^commit (.*-2\/disk0\.zst)$/.exec(call)?.[1];
      const stored = object === undefined ? undefined : memory.objects.get(object);
      if (stored === undefined) return;
      const place = Math.floor(placeIn(stored.bytes));
      stored.bytes[place] = (stored.bytes[place] ?? 0) ^ 1;
    },
  });
  await expect(consolidateExport({ store: lying, export: second })).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
  expect(await keysOf(store)).toEqual(before);
});

test('killed at any call, it leaves an export that is complete', async () => {
  let calls = 0;
  await consolidateCounted(Infinity, () => (calls += 1));
  expect(calls).toBeGreaterThan(20);
  const states = new Set<string>();
  for (let last = 0; last < calls; last += 1) {
    const { memory, second, disk } = await consolidateCounted(last);
    const store = new MemoryStore(memory);
    const complete: string[] = [];
    for await (const { reference, state } of listExports(store)) if (state === 'complete') complete.push(reference);
    const ours = complete.filter((reference) => reference.startsWith(second));
    expect(ours.length).toBeGreaterThan(0);
    for (const reference of ours) {
      await verifyExport({ store, export: reference });
      expect((await diskOf(store, reference)).equals(disk)).toBe(true);
    }
    states.add(ours.map((reference) => (reference === second ? 'old' : 'new')).join(' and '));
  }
  expect([...states].toSorted()).toEqual(['new', 'old', 'old and new']);
});

/** Consolidates until this many calls of the store were made: the process is gone then, and no later call has an effect. */
async function consolidateCounted(last: number, onCall: () => void = () => {}): Promise<Sample & { readonly memory: Memory }> {
  const memory = new Memory();
  const sample = await makeSample(new MemoryStore(memory));
  const gone = Promise.withResolvers<void>();
  let calls = 0;
  const before = async (): Promise<void> => {
    onCall();
    if (calls === last) {
      gone.resolve();
      await new Promise(() => {});
    }
    calls += 1;
  };
  const store = watchedStore(new MemoryStore(memory), { before });
  await Promise.race([consolidateExport({ store, export: sample.second }), gone.promise]);
  return { ...sample, memory };
}
