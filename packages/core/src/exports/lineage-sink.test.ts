import { randomBytes } from 'node:crypto';
import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { chunksOf, get, getBytes, keysOf, sampleHeader, sampleManifest, sha256 } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import type { EncodedDump } from '../frames/encode-dump.ts';
import { encodeDump } from '../frames/encode-dump.ts';
import { FrameMap } from '../frames/frame-map.ts';
import { readerOf } from '../frames/testing/streams.ts';
import type { Manifest } from './manifest.ts';
import type { PackRecord } from './packs.ts';
import { openExport } from './open-export.ts';
import { parseSha256Sums } from './sha256sums.ts';
import { storeSink } from './store-sink.ts';

const { signal } = new AbortController();
const FRAME = 1000;
const FIRST = randomBytes(FRAME);
const LAST = randomBytes(500);
const NEW = randomBytes(FRAME);

/** A full export of one disk, with its frame map. */
async function writeFirst(store: Store): Promise<Manifest> {
  await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
  await using dump = await writer.dump('disk0.img', { map: { disk: 0, cut: 'place', packs: [] } });
  const plain = chunksOf(Buffer.concat([FIRST, Buffer.alloc(2 * FRAME), LAST]));
  const written = await dump.write(encodeDump(readerOf(plain), { codec: 'none', frameSize: FRAME, withMap: true, signal }));
  const record = { index: 0, name: 'disk0.img', ...written, messages: [], snapshot: 'none' };
  return (await writer.commit(sampleManifest(writer.id, [record]))).manifest;
}

function packOf({ instance: { name: instance }, exportId, dumps: [dump] }: Manifest): PackRecord {
  return { instance, exportId, name: 'disk0.img', codec: 'none', size: dump?.storedBytes ?? 0, sha256: dump?.sha256 ?? '' };
}

/** A pack with these frames; the map of a disk that has one of the first export, and then those. */
function increment(frames: readonly Buffer[], ownPack: number): EncodedDump {
  const stored = Buffer.concat(frames);
  const map = new FrameMap();
  map.push({
    kind: 'frame',
    plainBytes: FRAME,
    sha256: Buffer.from(sha256(FIRST), 'hex'),
    place: { pack: 0, offset: 0, storedBytes: FRAME },
  });
  for (const [index, frame] of frames.entries()) {
    const place = { pack: ownPack, offset: index * FRAME, storedBytes: FRAME };
    map.push({ kind: 'frame', plainBytes: FRAME, sha256: Buffer.from(sha256(frame), 'hex'), place });
  }
  return {
    stored: chunksOf(...(stored.length === 0 ? [] : [stored])),
    summary: () => ({
      codec: 'none',
      frameSize: FRAME,
      frames: frames.length,
      plainBytes: map.plainBytes,
      storedBytes: stored.length,
      sha256: sha256(stored),
    }),
    table: () => undefined,
    map: () => map,
  };
}

async function writeSecond(
  store: Store,
  first: Manifest,
  frames: readonly Buffer[],
  parents: readonly string[] = [`${first.instance.name}@${first.exportId}`],
): Promise<Manifest> {
  await using writer = await storeSink(store).open({ ...sampleHeader, parents });
  const unused = { ...packOf(first), name: 'unused.img' };
  await using dump = await writer.dump('disk0.pack.img', { map: { disk: 0, cut: 'place', packs: [packOf(first), unused] } });
  const written = await dump.write(increment(frames, 2));
  const { frameTables: _none, ...draft } = sampleManifest(writer.id, [
    { index: 0, name: 'disk0.pack.img', ...written, messages: [], snapshot: 'none' },
  ]);
  return (await writer.commit(draft)).manifest;
}

test('a full export may have frame maps besides its frame tables', async () => {
  const store = new MemoryStore();
  const manifest = await writeFirst(store);
  expect(manifest).toMatchObject({ version: 2, dumps: [{ map: { cut: 'place', packs: [packOf(manifest)] } }] });
  const map = await (await openExport(store, 'web1.example.com')).frameMap(0);
  expect([...(map ?? [])]).toEqual([
    {
      kind: 'frame',
      start: 0,
      plainBytes: FRAME,
      sha256: Buffer.from(sha256(FIRST), 'hex'),
      place: { pack: 0, offset: 0, storedBytes: FRAME },
    },
    { kind: 'zeros', start: FRAME, plainBytes: 2 * FRAME },
    {
      kind: 'frame',
      start: 3 * FRAME,
      plainBytes: 500,
      sha256: Buffer.from(sha256(LAST), 'hex'),
      place: { pack: 0, offset: 3 * FRAME, storedBytes: 500 },
    },
  ]);
});

test('an export with a pack is read by its maps alone, which name just the packs that they refer to', async () => {
  const store = new MemoryStore();
  const first = await writeFirst(store);
  const second = await writeSecond(store, first, [NEW]);
  expect(second.version).toBe(3);
  expect(second.dumps[0]?.map?.packs).toEqual([
    packOf(first),
    { ...packOf(second), name: 'disk0.pack.img', size: FRAME, sha256: sha256(NEW) },
  ]);
  const prefix = `web1.example.com/${second.exportId}/`;
  expect(await keysOf(store, prefix)).toEqual(
    ['SHA256SUMS', 'config.ini', 'disk0.map', 'disk0.pack.img', 'manifest.json'].map((name) => `${prefix}${name}`),
  );
  expect(parseSha256Sums(await get(store, `${prefix}SHA256SUMS`), 'it')).toEqual([
    { name: 'disk0.pack.img', sha256: sha256(NEW) },
    { name: 'disk0.map', sha256: sha256(await getBytes(store, `${prefix}disk0.map`)) },
    { name: 'config.ini', sha256: sha256(await get(store, `${prefix}config.ini`)) },
    { name: `../${first.exportId}/disk0.img`, sha256: packOf(first).sha256 },
  ]);
});

test('an export that fails takes its frame maps with it, even if nobody may list the store', async () => {
  const store = new MemoryStore();
  const blind = watchedStore(store, {
    before: (call) => {
      if (/^(list|pending) /.test(call)) throw new StoreError('denied', { message: 'access denied' });
      if (call.startsWith('begin ') && call.endsWith('/SHA256SUMS')) throw new StoreError('unavailable', { message: 'gone' });
    },
  });
  await expect(writeFirst(blind)).rejects.toMatchObject({ code: 'unavailable' });
  expect(await keysOf(store)).toEqual([]);
});

test('an export that refers to packs of another one, which its claim does not name, is not committed: nobody would keep them', async () => {
  const store = new MemoryStore();
  const first = await writeFirst(store);
  const before = await keysOf(store);
  await expect(writeSecond(store, first, [NEW], [])).rejects.toThrow(/the claim of .* does not name .* as a parent/);
  expect(await keysOf(store)).toEqual(before);
});

test('a pack without frames is not written', async () => {
  const store = new MemoryStore();
  const first = await writeFirst(store);
  const second = await writeSecond(store, first, []);
  expect(second.dumps[0]).toMatchObject({ storedBytes: 0, map: { packs: [packOf(first)] } });
  expect(await keysOf(store)).not.toContain(`web1.example.com/${second.exportId}/disk0.pack.img`);
  expect(await get(store, `web1.example.com/${second.exportId}/SHA256SUMS`)).not.toContain('disk0.pack.img');
});

test.each(['gone', 'shorter'])('an export is not committed if a pack of another is %s by then', async (what) => {
  const store = new MemoryStore();
  const first = await writeFirst(store);
  const key = `web1.example.com/${first.exportId}/disk0.img`;
  const before = async (call: string): Promise<void> => {
    if (!call.startsWith('commit ') || !call.endsWith('/SHA256SUMS')) return;
    await store.remove([key]);
    if (what === 'gone') return;
    await using short = await store.begin(key);
    await short.append(chunksOf('short'));
    await short.commit({ size: 5, sha256: sha256('short') });
  };
  await expect(writeSecond(watchedStore(store, { before }), first, [NEW])).rejects.toMatchObject({ code: 'integrity', key });
  expect((await keysOf(store)).filter((found) => !found.startsWith(`web1.example.com/${first.exportId}/`))).toEqual([]);
});
