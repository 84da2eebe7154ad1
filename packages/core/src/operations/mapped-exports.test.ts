import { randomBytes } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import type { Store } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, put, sampleHeader, sampleInstance, sampleManifest, sha256 } from '../../test/sample-export.ts';
import { SAMPLE_FRAME_BYTES as FRAME, SampleLineage } from '../../test/sample-lineage.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from '../exports/list-exports.ts';
import { storeSink } from '../exports/store-sink.ts';
import { encodeDump } from '../frames/encode-dump.ts';
import { overwritten, readerOf } from '../frames/testing/streams.ts';
import { verifyExport } from './verify.ts';

/*
 * Exports whose disks are read by frame maps, in the operations.
 */

const { name: INSTANCE } = sampleInstance;
const FIRST = `${INSTANCE}/20261121T081500Z`;
const SECOND = `${INSTANCE}/20261122T081500Z`;
const REFERENCE = `${INSTANCE}@20261122T081500Z`;

/** A full export of a disk, and one with changes. */
async function writeLineage(store: Store, os?: string): Promise<Buffer> {
  const lineage = new SampleLineage(store);
  const first = Array.from({ length: 8 }, () => randomBytes(FRAME));
  await lineage.full(first, 'zstd', os);
  const second = [...first.slice(0, 3), randomBytes(FRAME), Buffer.alloc(FRAME), ...first.slice(5), randomBytes(FRAME)];
  await lineage.incremental(second, { patches: true, ...(os === undefined ? {} : { os }) });
  return Buffer.concat(second);
}

async function stateOf(store: Store, reference = REFERENCE): Promise<string> {
  for await (const found of listExports(store)) if (found.reference === reference) return `${found.state} ${found.reason ?? ''}`.trim();
  return 'not listed';
}

async function change(store: Store, key: string, how: (bytes: Buffer) => Uint8Array): Promise<void> {
  await put(store, key, how(await getBytes(store, key)));
}

function flip(at: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    const offset = at < 0 ? bytes.length + at : at;
    bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
    return bytes;
  };
}

test('import writes the disk, checked first if asked for', async () => {
  await using bench = await makeOperationBench({});
  const disk = await writeLineage(bench.store, 'raw');
  const path = bench.directory.file('disk0.img');
  for (const checkFirst of [false, true]) {
    await writeFile(path, '');
    await truncate(path, disk.length);
    const result = await bench.importDisks(REFERENCE, { checkFirst });
    expect(result).toMatchObject({ disks: [0], plainBytes: disk.length });
    expect((await readFile(path)).equals(disk)).toBe(true);
  }
});

describe('verify', () => {
  test('reads every frame in every pack, and no pack of another export to its end', async () => {
    await using bench = await makeOperationBench({});
    const disk = await writeLineage(bench.store);
    await change(bench.store, `${FIRST}/disk0.zst`, flip(-3));
    await expect(verifyExport({ store: bench.store, export: REFERENCE })).resolves.toMatchObject({
      plainBytes: disk.length,
      checksums: true,
    });
  });

  test.each([
    [
      'a frame in a dump of an earlier export',
      `${FIRST}/disk0.zst`,
      flip(100),
      'DUMP_DAMAGED',
      'is damaged in frame 0, in ../20261121T081500Z/disk0.zst at stored byte 0',
    ],
    ['a frame in the own pack', `${SECOND}/disk0.pack.zst`, flip(-FRAME), 'DUMP_DAMAGED', 'in disk0.pack.zst at stored byte'],
    ['a frame map', `${SECOND}/disk0.map`, flip(-1), 'MAP_DAMAGED', `disk0.map of ${REFERENCE} is damaged: SHA-256 mismatch`],
    ['the size of a pack', `${FIRST}/disk0.zst`, (bytes: Buffer) => bytes.subarray(1), 'PACK_MISSING', 'bytes instead of'],
  ])('finds damage of %s', async (_what, key, how, code, message) => {
    await using bench = await makeOperationBench({});
    await writeLineage(bench.store);
    await change(bench.store, key, how);
    await expect(verifyExport({ store: bench.store, export: REFERENCE })).rejects.toMatchObject({
      code,
      disk: 0,
      message: expect.stringContaining(message),
    });
  });

  test('reads every stored byte once, although its SHA-256 is compared too', async () => {
    await using bench = await makeOperationBench({});
    const lineage = new SampleLineage(bench.store);
    await lineage.full([]);
    const { reference } = await lineage.incremental(Array.from({ length: 1500 }, (_, index) => randomBytes(32 + (index % 5))));
    const packBytes = (await getBytes(bench.store, `${SECOND}/disk0.pack.zst`)).length;
    let readBytes = 0;
    const store = watchedStore(bench.store, {});
    const counting: Store = {
      ...store,
      async read(key, o) {
        if (key.endsWith('disk0.pack.zst')) readBytes += o?.length ?? packBytes;
        return await store.read(key, o);
      },
    };
    await expect(verifyExport({ store: counting, export: reference })).resolves.toMatchObject({ checksums: true });
    expect(readBytes).toBe(packBytes);
  });

  test('finds bytes in the own pack that belong to no frame', async () => {
    await using bench = await makeOperationBench({});
    const lineage = new SampleLineage(bench.store);
    await lineage.full([randomBytes(FRAME)]);
    const { reference } = await lineage.incremental([randomBytes(FRAME), randomBytes(FRAME)]);
    await change(bench.store, `${SECOND}/disk0.pack.zst`, flip(-1));
    await expect(verifyExport({ store: bench.store, export: reference })).rejects.toMatchObject({
      code: 'DUMP_DAMAGED',
      message: expect.stringMatching(/^disk0\.pack\.zst of .* is damaged: SHA-256 mismatch/),
    });
  });

  test('finds a SHA256SUMS that says something else of a pack of another export', async () => {
    await using bench = await makeOperationBench({});
    await writeLineage(bench.store);
    const sums = await get(bench.store, `${SECOND}/SHA256SUMS`);
    await put(bench.store, `${SECOND}/SHA256SUMS`, sums.replace(/^[0-9a-f]{64}(?= {2}\.\.)/m, sha256('another')));
    await expect(verifyExport({ store: bench.store, export: REFERENCE })).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: expect.stringContaining('different things of ../20261121T081500Z/disk0.zst'),
    });
  });
});

describe('verify of a dump that is complete by itself, with a frame map', () => {
  async function writeFull(store: Store, alter: (map: string) => string): Promise<string> {
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await using dump = await writer.dump('disk0.zst', { map: { disk: 0, cut: 'place', packs: [] } });
    const pieces = [randomBytes(FRAME), Buffer.alloc(3 * FRAME), randomBytes(2 * FRAME + 5)];
    const { signal } = new AbortController();
    const written = await dump.write(encodeDump(readerOf(overwritten(pieces)), { codec: 'zstd', frameSize: FRAME, withMap: true, signal }));
    const draft = sampleManifest(writer.id, [{ index: 0, name: 'disk0.zst', ...written, messages: [], snapshot: 'none' }]);
    await writer.commit(draft);
    const key = `${INSTANCE}/${writer.id}/disk0.map`;
    const text = alter(await get(store, key));
    await put(store, key, text);
    const map = { ...written.map, size: Buffer.byteLength(text), sha256: sha256(text) };
    const manifestKey = `${INSTANCE}/${writer.id}/manifest.json`;
    const manifest = JSON.parse(await get(store, manifestKey));
    await put(store, manifestKey, JSON.stringify({ ...manifest, dumps: [{ ...manifest.dumps[0], map }] }));
    const sumsKey = `${INSTANCE}/${writer.id}/SHA256SUMS`;
    await put(store, sumsKey, (await get(store, sumsKey)).replace(/^[0-9a-f]{64}(?= {2}disk0\.map)/m, map.sha256));
    return writer.reference;
  }

  test('holds if the map is right', async () => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    await expect(verifyExport({ store, export: await writeFull(store, (map) => map) })).resolves.toMatchObject({
      plainBytes: 6 * FRAME + 5,
    });
  });

  test.each<[string, (map: string) => string]>([
    ['another digest', (map) => map.replace(/[0-9a-f]{64}(?= 0 0 )/, 'ab'.repeat(32))],
    ['another place', (map) => map.replace(/ 0 0 (\d+)$/m, ' 0 1 $1')],
    ['another size', (map) => map.replace(/ 0 0 (\d+)$/m, ' 0 0 1$1')],
    ['zeros where data is', (map) => map.replace(/^frame (\d+) .*$/m, 'zeros $1')],
    ['data where zeros are', (map) => map.replace(/^zeros (\d+)$/m, `frame $1 ${'ab'.repeat(32)} 0 0 100`)],
    ['frames in another order', (map) => map.replace(/^(frame .*)\n((?:zeros .*\n)+)/m, '$2$1\n')],
  ])('finds a map with %s', async (_what, alter) => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    const reference = await writeFull(store, (map) => {
      const altered = alter(map);
      expect(altered).not.toBe(map);
      return altered;
    });
    await expect(verifyExport({ store, export: reference })).rejects.toMatchObject({
      code: 'MAP_DAMAGED',
      disk: 0,
      message: expect.stringMatching(
        /^disk0\.map of .* is damaged: entry \d+ (?:does not fit its dump|is outside of its pack|has an impossible size)/,
      ),
    });
  });
});

test('verify reads a dump to its end although its frame map is damaged, and reports both', async () => {
  await using bench = await makeOperationBench({});
  const { store } = bench;
  const { reference } = await bench.exportDisks({ incremental: true });
  const prefix = reference.replace('@', '/');
  await change(store, `${prefix}/disk0.map`, flip(-1));
  const damaged = { code: 'MAP_DAMAGED', disk: 0, message: expect.stringContaining('SHA-256 mismatch') };
  await expect(verifyExport({ store, export: reference })).rejects.toMatchObject({ ...damaged, details: [] });
  await change(store, `${prefix}/disk0.zst`, flip(-1));
  await expect(verifyExport({ store, export: reference })).rejects.toMatchObject({
    ...damaged,
    details: [expect.stringMatching(/^also: disk0\.zst: the dump is damaged.*\[DUMP_DAMAGED\]$/)],
  });
});

describe('list', () => {
  test('shows an export as complete if its maps and all its packs are there', async () => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    const disk = await writeLineage(store);
    expect(await stateOf(store)).toBe('complete');
    for await (const found of listExports(store)) if (found.reference === REFERENCE) expect(found.plainBytes).toBe(disk.length);
    const seen: string[] = [];
    await stateOf(watchedStore(store, { before: (call) => void seen.push(call) }));
    expect(seen.filter((call) => call.startsWith('stat'))).toEqual([]);
  });

  test.each([
    [
      'a pack of an earlier export is gone',
      `${FIRST}/disk0.zst`,
      undefined,
      'frames of disk 0 are in ../20261121T081500Z/disk0.zst, which is not in the store',
    ],
    ['a pack of an earlier export is shorter', `${FIRST}/disk0.zst`, (bytes: Buffer) => bytes.subarray(1), 'bytes instead of'],
    ['its own pack is gone', `${SECOND}/disk0.pack.zst`, undefined, 'frames of disk 0 are in disk0.pack.zst, which is not in the store'],
    ['its map is gone', `${SECOND}/disk0.map`, undefined, 'disk0.map is missing'],
    ['its map is shorter', `${SECOND}/disk0.map`, (bytes: Buffer) => bytes.subarray(1), 'disk0.map is damaged: it has'],
  ])('shows an export as damaged if %s', async (_what, key, how, reason) => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    await writeLineage(store);
    if (how === undefined) await store.remove([key]);
    else await change(store, key, how);
    expect(await stateOf(store)).toMatch(/^damaged /);
    expect(await stateOf(store)).toContain(reason);
  });

  test('looks for packs of other instances too, each once', async () => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    await writeLineage(store);
    await clone(store, 'web2');
    await clone(store, 'web3');
    const seen: string[] = [];
    const watched = watchedStore(store, { before: (call) => void seen.push(call) });
    expect(await stateOf(watched, 'web3@20261122T081500Z')).toBe('complete');
    expect(seen.filter((call) => call.startsWith('stat')).toSorted()).toEqual([`stat ${FIRST}/disk0.zst`, `stat ${SECOND}/disk0.pack.zst`]);
    await store.remove([`${FIRST}/disk0.zst`]);
    expect(await stateOf(store, 'web3@20261122T081500Z')).toMatch(
      /^damaged .*\.\.\/\.\.\/web1\.example\.com\/20261121T081500Z\/disk0\.zst/,
    );
  });
});

/** The second export of the lineage as one of another instance, without a pack of its own. */
async function clone(store: Store, instance: string): Promise<void> {
  const manifest = JSON.parse(await get(store, `${SECOND}/manifest.json`));
  const [dump] = manifest.dumps;
  const text = (await get(store, `${SECOND}/disk0.map`))
    .replace(' ../20261121T081500Z', ` ../../${INSTANCE}/20261121T081500Z`)
    .replace(' disk0.pack.zst', ` ../../${INSTANCE}/20261122T081500Z/disk0.pack.zst`);
  const map = { ...dump.map, size: Buffer.byteLength(text), sha256: sha256(text) };
  const own = { ...dump, frames: 0, storedBytes: 0, sha256: sha256(''), map };
  await put(store, `${instance}/20261122T081500Z/disk0.map`, text);
  await put(
    store,
    `${instance}/20261122T081500Z/manifest.json`,
    JSON.stringify({ ...manifest, instance: { ...manifest.instance, name: instance }, dumps: [own] }),
  );
}
