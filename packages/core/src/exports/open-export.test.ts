import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { chunksOf, put, sampleHeader, writeDump, writeExport } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import type { StoredExport } from './open-export.ts';
import { openExport } from './open-export.ts';
import { storeSink } from './store-sink.ts';

const NAME = 'web1.example.com';
const PREFIX = `${NAME}/20261123T081500Z/`;

function ganetiConfig(options: { readonly timestamp?: number; readonly compression?: string; readonly dump?: string } = {}): string {
  const { timestamp = 1_479_888_900, compression = 'none', dump = 'root.snap' } = options;
  return `[export]\nversion = 0\ntimestamp = ${timestamp}\nos = debootstrap\ncompression = ${compression}\n[instance]\nname = ${NAME}\nhypervisor = xen-pvm\ndisk0_dump = ${dump}\ndisk0_size = 10\ndisk2_dump = data.snap\ndisk_count = 2\n`;
}

async function putGanetiExport(store: MemoryStore, prefix: string, options: Parameters<typeof ganetiConfig>[0] = {}): Promise<void> {
  await put(store, `${prefix}config.ini`, ganetiConfig(options));
  await put(store, `${prefix}root.snap`, 'root');
  await put(store, `${prefix}data.snap`, 'data');
}

async function read(found: StoredExport, nameOrIndex: string | number, range: { offset?: number; length?: number } = {}): Promise<string> {
  await using source = await found.dump(nameOrIndex, range);
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

describe('an export of Gantry', () => {
  test('says what it is, and gives its dumps by name and by disk, in part too', async () => {
    const store = new MemoryStore();
    const found = await openExport(store, await writeExport(store));
    expect(found).toMatchObject({
      reference: `${NAME}@20261123T081500Z`,
      instance: NAME,
      id: '20261123T081500Z',
      origin: 'gantry',
      os: 'debootstrap+default',
      hypervisor: 'kvm',
      started: new Date('2026-11-23T08:15:00Z'),
      dumps: [
        { index: 0, name: 'disk0.img', codec: 'none', record: { plainBytes: 10 } },
        { index: 1, name: 'disk1.img' },
      ],
      manifest: { exportId: '20261123T081500Z' },
    });
    expect(found.config).toBeUndefined();
    expect(await read(found, 'disk0.img')).toBe('first disk');
    expect(await read(found, 1)).toBe('second disk');
    expect(await read(found, 1, { offset: 7, length: 2 })).toBe('di');
    expect((await found.checkDumpsPresent()).map(({ size }) => size)).toEqual([10, 11]);
  });

  test('without an id is the newest: by ordinal within a second', async () => {
    const store = new MemoryStore();
    for (let count = 0; count < 11; count += 1) await writeExport(store);
    await writeExport(store, ['x'], { ...sampleHeader, started: '2025-01-01T00:00:00.000Z' });
    expect((await openExport(store, NAME)).id).toBe('20261123T081500Z-11');
    expect((await openExport(store, `${NAME}@20250101T000000Z`)).dumps).toHaveLength(1);
  });

  test('is passed over while it is not complete, and refused when it is named', async () => {
    const store = new MemoryStore();
    await writeExport(store, ['x'], { ...sampleHeader, started: '2025-01-01T00:00:00.000Z' });
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await writeDump(writer, 0, 'first');
    expect((await openExport(store, NAME)).id).toBe('20250101T000000Z');
    await expect(openExport(store, writer.reference)).rejects.toMatchObject({
      code: 'EXPORT_INCOMPLETE',
      message: expect.stringMatching(/is not complete: started .* by process \d+ on host .*, which is running/),
    });
  });

  test('a claim that was left behind beside a manifest means nothing', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    await put(store, `${PREFIX}export.claim`, '{}');
    expect((await openExport(store, reference)).dumps).toHaveLength(2);
  });
});

describe('an export that Ganeti made', () => {
  test.each([
    ['ganeti', `${NAME}/`],
    ['20261123T081500Z', PREFIX],
    ['saved', `${NAME}/saved/`],
  ])('right beneath the instance or in a directory of its own: %s', async (id, prefix) => {
    const store = new MemoryStore();
    await putGanetiExport(store, prefix);
    const found = await openExport(store, NAME);
    expect(found).toMatchObject({
      reference: `${NAME}@${id}`,
      origin: 'ganeti',
      os: 'debootstrap',
      hypervisor: 'xen-pvm',
      started: new Date(1_479_888_900_000),
      config: { instanceName: NAME },
    });
    expect(found.dumps).toEqual([
      { index: 0, name: 'root.snap', codec: 'none', diskSize: 10 },
      { index: 2, name: 'data.snap', codec: 'none' },
    ]);
    expect(found.manifest).toBeUndefined();
    expect(await read(found, 2)).toBe('data');
    expect(await found.checkDumpsPresent()).toHaveLength(2);
    expect((await openExport(store, `${NAME}@${id}`)).reference).toBe(found.reference);
  });

  test('has the compression that it says', async () => {
    const store = new MemoryStore();
    await putGanetiExport(store, `${NAME}/`, { compression: 'gzip' });
    expect((await openExport(store, NAME)).dumps.map(({ codec }) => codec)).toEqual(['gzip', 'gzip']);
    await putGanetiExport(store, `${NAME}/`, { compression: 'lzop' });
    await expect(openExport(store, NAME)).rejects.toMatchObject({ code: 'CODEC_UNKNOWN' });
  });

  test('is the newest if its time is', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    await putGanetiExport(store, `${NAME}/`);
    expect((await openExport(store, NAME)).id).toBe('20261123T081500Z');
    await putGanetiExport(store, `${NAME}/`, { timestamp: Date.parse('2027-01-01') / 1000 });
    expect((await openExport(store, NAME)).id).toBe('ganeti');
  });

  test('is none with SHA256SUMS, which Ganeti does not write: then a manifest is missing', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    await store.remove([`${PREFIX}manifest.json`]);
    await expect(openExport(store, reference)).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: expect.stringContaining('is missing'),
    });
    await expect(openExport(store, NAME)).rejects.toMatchObject({ code: 'EXPORT_INCOMPLETE' });
  });
});

describe('what is not there', () => {
  test('no export of that instance: similar names are suggested', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    await expect(openExport(store, 'web2.example.com')).rejects.toMatchObject({
      code: 'EXPORT_NOT_FOUND',
      message: 'there is no export of web2.example.com in memory:',
      hint: 'Did you mean web1.example.com? gantry list shows all exports.',
    });
    await expect(openExport(new MemoryStore(), NAME)).rejects.toMatchObject({
      code: 'EXPORT_NOT_FOUND',
      hint: 'gantry list shows all exports.',
    });
  });

  test('no export of that id: the existing ones are listed', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    await expect(openExport(store, `${NAME}@20261123T081501Z`)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND', details: [reference] });
  });

  test('nothing but exports that were never finished', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await expect(openExport(store, NAME)).rejects.toMatchObject({ code: 'EXPORT_INCOMPLETE', details: [writer.reference] });
  });

  test.each(['../web1', '/etc/passwd', 'web1@../../x', 'web1@', ''])(
    '%j, which is not a reference: nothing is asked of the store',
    async (reference) => {
      const store = watchedStore(new MemoryStore(), { before: () => expect.unreachable() });
      await expect(openExport(store, reference)).rejects.toMatchObject({ code: 'USAGE' });
    },
  );

  test('a dump that is missing, in the store or in the export', async () => {
    const store = new MemoryStore();
    const found = await openExport(store, await writeExport(store));
    await store.remove([`${PREFIX}disk1.img`]);
    const missing = { code: 'DUMP_MISSING', message: `${found.reference} is incomplete: its dump disk1.img is not in the store`, disk: 1 };
    await expect(found.checkDumpsPresent()).rejects.toMatchObject(missing);
    await expect(found.dump(1)).rejects.toMatchObject(missing);
    expect(await found.checkDumpsPresent({ disks: [0] })).toHaveLength(1);
    await expect(found.dump(7)).rejects.toMatchObject({ code: 'DUMP_MISSING' });
    await expect(found.dump('../../../etc/passwd')).rejects.toMatchObject({ code: 'DUMP_MISSING' });
  });
});

describe('what is damaged', () => {
  test('a dump that is truncated, or has extra bytes', async () => {
    const store = new MemoryStore();
    const found = await openExport(store, await writeExport(store));
    for (const [content, problem] of [
      ['first dis', 'truncated: it has 9 bytes instead of 10'],
      ['first disk!', 'extra bytes at its end: it has 11 bytes instead of 10'],
    ] as const) {
      await put(store, `${PREFIX}disk0.img`, content);
      await expect(found.checkDumpsPresent()).rejects.toMatchObject({
        code: 'DUMP_DAMAGED',
        message: `disk0.img of ${found.reference} is damaged: ${problem}`,
        disk: 0,
      });
    }
  });

  test.each([
    ['no JSON', '{', 'MANIFEST_DAMAGED'],
    ['a later version', '{"format":"gantry-export","version":7}', 'MANIFEST_VERSION'],
    ['no text', new Uint8Array([0xff, 0xfe]), 'MANIFEST_DAMAGED'],
  ])('a manifest that is %s; an older export is not taken in its place unasked', async (_title, content, code) => {
    const store = new MemoryStore();
    const older = await writeExport(store, ['x'], { ...sampleHeader, started: '2025-01-01T00:00:00.000Z' });
    const damaged = await writeExport(store);
    await put(store, `${PREFIX}manifest.json`, content);
    await expect(openExport(store, damaged)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`manifest.json of ${damaged}`),
    });
    await expect(openExport(store, NAME)).rejects.toMatchObject({ code });
    expect((await openExport(store, older)).dumps).toHaveLength(1);
  });

  test('a manifest of another export', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    await using source = await store.read(`${PREFIX}manifest.json`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of source) chunks.push(Buffer.from(chunk));
    await put(store, `${NAME}/20270101T000000Z/manifest.json`, Buffer.concat(chunks));
    await expect(openExport(store, `${NAME}@20270101T000000Z`)).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: `manifest.json of ${NAME}@20270101T000000Z belongs to ${reference}`,
    });
  });

  test.each(['../../etc/passwd', '/etc/passwd'])('a config.ini that names the dump %s', async (dump) => {
    const store = new MemoryStore();
    await putGanetiExport(store, `${NAME}/`, { dump });
    await expect(openExport(store, NAME)).rejects.toMatchObject({
      code: 'CONFIG_DAMAGED',
      message: expect.stringContaining('is not a plain file name'),
    });
  });

  test('a config.ini that is not text, or larger than any', async () => {
    const store = new MemoryStore();
    for (const content of [new Uint8Array([0xff]), '#'.repeat(1024 ** 2 + 1)]) {
      await put(store, `${NAME}/config.ini`, content);
      await expect(openExport(store, NAME)).rejects.toMatchObject({ code: 'CONFIG_DAMAGED' });
    }
  });

  test('a manifest that is larger than any is not taken into memory', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    let pulled = 0;
    const huge = watchedStore(store, {});
    const claimed = {
      ...huge,
      read: async (key: string): ReturnType<typeof huge.read> => {
        if (!key.endsWith('manifest.json')) return huge.read(key);
        return {
          length: 2 ** 40,
          objectSize: 2 ** 40,
          async *[Symbol.asyncIterator]() {
            pulled += 1;
            yield* chunksOf('x');
          },
          async [Symbol.asyncDispose]() {},
        };
      },
    };
    await expect(openExport(claimed, reference)).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: expect.stringContaining('it is too large: 1099511627776 bytes'),
    });
    expect(pulled).toBe(0);
  });
});

describe('ending early', () => {
  test('every call rejects with the reason of its signal', async () => {
    const store = new MemoryStore();
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    const found = await openExport(store, await writeExport(store));
    await expect(openExport(store, NAME, { signal })).rejects.toBe(reason);
    await expect(found.dump(0, { signal })).rejects.toBe(reason);
    await expect(found.checkDumpsPresent({ signal })).rejects.toBe(reason);
  });

  test('a dump that is being read too', async () => {
    const store = new MemoryStore();
    const found = await openExport(store, await writeExport(store, ['x'.repeat(1024 ** 2)]));
    const controller = new AbortController();
    const reason = new Error('enough');
    await using source = await found.dump(0, { signal: controller.signal });
    const reading = async (): Promise<void> => {
      for await (const _chunk of source) controller.abort(reason);
    };
    await expect(reading()).rejects.toBe(reason);
  });
});
