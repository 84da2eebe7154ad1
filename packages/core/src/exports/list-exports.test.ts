import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { get, put, sampleHeader, writeDump, writeExport } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import type { ExportSummary } from './list-exports.ts';
import { listExports } from './list-exports.ts';
import { storeSink } from './store-sink.ts';

const NAME = 'web1.example.com';
const PREFIX = `${NAME}/20261123T081500Z/`;
const GANETI = `[export]\nversion = 0\ntimestamp = 1479888900\nos = debootstrap\ncompression = none\n[instance]\nname = db1\ndisk0_dump = root.snap\n`;

async function list(...parameters: Parameters<typeof listExports>): Promise<ExportSummary[]> {
  const found: ExportSummary[] = [];
  for await (const summary of listExports(...parameters)) found.push(summary);
  return found;
}

describe('a listing', () => {
  test('of an empty store is empty', async () => {
    expect(await list(new MemoryStore())).toEqual([]);
  });

  test('shows each export with its sizes, by instance and by age', async () => {
    const store = new MemoryStore();
    await writeExport(store, ['x']);
    for (let count = 0; count < 10; count += 1) await writeExport(store);
    await writeExport(store, ['a', 'bc'], { ...sampleHeader, instance: 'db1', started: '2026-01-02T03:04:05.678Z' });
    await writeExport(store, [], { ...sampleHeader, instance: 'web1', started: '2026-01-02T03:04:05.678Z' });
    const found = await list(store);
    expect(found[0]).toEqual({
      reference: 'db1@20260102T030405Z',
      instance: 'db1',
      id: '20260102T030405Z',
      origin: 'gantry',
      state: 'complete',
      started: new Date('2026-01-02T03:04:05.678Z'),
      os: 'debootstrap+default',
      disks: 2,
      plainBytes: 3,
      storedBytes: 3,
    });
    expect(found.slice(1).map(({ reference }) => reference)).toEqual([
      ...['', '-2', '-3', '-4', '-5', '-6', '-7', '-8', '-9', '-10', '-11'].map((ordinal) => `${NAME}@20261123T081500Z${ordinal}`),
      'web1@20260102T030405Z',
    ]);
  });

  test('goes on past exports whose descriptions would take all time and memory, and shows them as damaged', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    const manifest = JSON.parse(await get(store, `${PREFIX}manifest.json`));
    const many = (value: unknown, count: number): unknown[] => Array.from({ length: count }, () => value);
    const documents = {
      dumps: { ...manifest, dumps: many({}, 1_500_000) },
      disks: { ...manifest, instance: { ...manifest.instance, disks: many({}, 1001) } },
      tags: { ...manifest, instance: { ...manifest.instance, tags: many(1, 90_000) } },
      messages: { ...manifest, dumps: many({ messages: many(1, 99) }, 900) },
    };
    for (const [id, document] of Object.entries(documents)) await put(store, `bad1/${id}/manifest.json`, JSON.stringify(document));
    await put(store, 'bad1/nested/manifest.json', '['.repeat(2 ** 24));
    const keys = Array.from({ length: 9000 }, (_, index) => `k${index} = v\n`).join('');
    const sections = Array.from({ length: 100_000 }, (_, index) => `[${index}]\n`).join('');
    await put(store, 'bad2/config.ini', `[DEFAULT]\n${keys}${sections}`);
    const states = (await list(store)).map(({ instance, id, state, reason }) => [`${instance} ${id} ${state}`, reason]);
    expect(states).toEqual([
      ['bad1 disks damaged', 'manifest.json of bad1@disks is damaged: instance.disks: has 1001 items; at most 1000 are allowed'],
      ['bad1 dumps damaged', 'manifest.json of bad1@dumps is damaged: it has more than 400000 values'],
      ['bad1 messages damaged', expect.stringContaining('manifest.json of bad1@messages is damaged: ')],
      ['bad1 nested damaged', 'manifest.json of bad1@nested is damaged: it has more than 400000 values'],
      ['bad1 tags damaged', 'manifest.json of bad1@tags is damaged: a list or object in it has more than 10000 members'],
      ['bad2 ganeti damaged', 'config.ini of bad2@ganeti is damaged: it has more than 100 sections'],
      [`${NAME} 20261123T081500Z complete`, undefined],
    ]);
  });

  test('warns of an export that started in the future, and of no other', async () => {
    const store = new MemoryStore();
    await writeExport(store, [], { ...sampleHeader, started: '2199-01-01T00:00:00.000Z' });
    await writeExport(store, [], { ...sampleHeader, started: new Date(Date.now() + 60_000).toISOString() });
    expect((await list(store)).map(({ state, warning }) => [state, warning])).toEqual([
      ['complete', undefined],
      ['complete', expect.stringContaining('its start time, 2199-01-01T00:00:00Z, is in the future')],
    ]);
  });

  test('can be of one instance, and not of those whose names begin alike', async () => {
    const store = new MemoryStore();
    for (const instance of ['web1', 'web10', 'web1.example.com']) await writeExport(store, [], { ...sampleHeader, instance });
    expect((await list(store, { instance: 'web1' })).map(({ instance }) => instance)).toEqual(['web1']);
    expect(await list(store, { instance: 'web' })).toEqual([]);
    await expect(list(store, { instance: '../web1' })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test("shows Ganeti's, which have no plain sizes", async () => {
    const store = new MemoryStore();
    await put(store, 'db1/config.ini', GANETI);
    await put(store, 'db1/root.snap', 'root');
    expect(await list(store)).toEqual([
      {
        reference: 'db1@ganeti',
        instance: 'db1',
        id: 'ganeti',
        origin: 'ganeti',
        state: 'complete',
        started: new Date(1_479_888_900_000),
        os: 'debootstrap',
        disks: 1,
        storedBytes: 4,
      },
    ]);
  });

  test('shows one that is in progress, with its process and its start', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await writeDump(writer, 0, 'first');
    expect(await list(store)).toMatchObject([
      {
        reference: writer.reference,
        state: 'unfinished',
        owner: 'alive',
        reason: expect.stringContaining(`started 2026-11-23T08:15:00.000Z by process ${process.pid} on host `),
        started: new Date('2026-11-23T08:15:00Z'),
      },
    ]);
  });

  test('passes over what is not part of the layout', async () => {
    const store = new MemoryStore();
    for (const key of ['README', 'lost+found/x', 'web1/notes.txt', 'web1/notes/today.txt', 'a/b/c/d/config.ini', 'web1/ganeti/config.ini'])
      await put(store, key, 'x');
    expect(await list(store)).toEqual([]);
  });
});

describe('what is damaged is listed as such, and does not hide the rest', () => {
  test.each([
    ['a manifest that is not one', 'manifest.json', '{', /^manifest.json of .* is damaged: it is not JSON$/],
    ['a manifest of a later version', 'manifest.json', '{"format":"gantry-export","version":9}', /has version 9/],
    ['a dump that is truncated', 'disk0.img', 'first', /^disk0.img is damaged: truncated: it has 5 bytes instead of 10$/],
    ['a dump that is missing', 'disk0.img', undefined, /its dump disk0.img is not in the store$/],
    ['a manifest that is missing', 'manifest.json', undefined, /^manifest.json of .* is missing/],
  ])('%s', async (_title, name, content, reason) => {
    const store = new MemoryStore();
    const damaged = await writeExport(store);
    const sound = await writeExport(store);
    if (content === undefined) await store.remove([`${PREFIX}${name}`]);
    else await put(store, `${PREFIX}${name}`, content);
    expect(await list(store)).toMatchObject([
      { reference: damaged, origin: 'gantry', state: 'damaged', reason: expect.stringMatching(reason) },
      { reference: sound, state: 'complete' },
    ]);
  });

  test("one of Ganeti's: its file, its codec, its dump", async () => {
    const store = new MemoryStore();
    await put(store, 'a/config.ini', '[export]');
    await put(store, 'b/config.ini', GANETI.replace('none', 'lzop'));
    await put(store, 'b/root.snap', 'root');
    await put(store, 'c/config.ini', GANETI);
    expect(await list(store)).toMatchObject([
      { reference: 'a@ganeti', origin: 'ganeti', state: 'damaged', reason: expect.stringContaining('section [instance] is missing') },
      { reference: 'b@ganeti', origin: 'ganeti', state: 'damaged', reason: expect.stringContaining('"lzop"') },
      { reference: 'c@ganeti', origin: 'ganeti', state: 'damaged', reason: expect.stringContaining('root.snap is not in the store') },
    ]);
  });

  test('the rest of an export, of which only dumps are left', async () => {
    const store = new MemoryStore();
    await put(store, `${PREFIX}disk0.zst`, 'x');
    expect(await list(store)).toMatchObject([{ state: 'damaged', reason: expect.stringContaining('is missing') }]);
  });

  test('a claim that says nothing', async () => {
    const store = new MemoryStore();
    for (const claim of ['', '{', '{"format":"gantry-claim"}', new Uint8Array([0xff])]) {
      await put(store, `${PREFIX}export.claim`, claim);
      expect(await list(store)).toMatchObject([{ state: 'unfinished', owner: 'unknown', reason: 'started by an unknown process' }]);
    }
  });
});

test('an export that is removed while the listing is made is not in it', async () => {
  const store = new MemoryStore();
  await writeExport(store);
  const second = await writeExport(store);
  const watched = watchedStore(store, {
    before: async (call) => {
      if (call === `read ${PREFIX}manifest.json`) await store.remove([`${PREFIX}manifest.json`]);
    },
  });
  expect((await list(watched)).map(({ reference }) => reference)).toEqual([second]);
});

test('a store that fails ends the listing with an error of core', async () => {
  const store = new MemoryStore();
  await writeExport(store);
  const broken = watchedStore(store, {
    before: (call) => {
      if (call.startsWith('read')) throw new StoreError('unavailable', { message: 'gone' });
    },
  });
  await expect(list(broken)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  const reason = new Error('enough');
  await expect(list(store, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});
