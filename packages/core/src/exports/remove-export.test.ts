import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { keysOf, put, sampleHeader, writeDump, writeExport } from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { openExport } from './open-export.ts';
import { removeExport } from './remove-export.ts';
import { storeSink } from './store-sink.ts';

const NAME = 'web1.example.com';
const PREFIX = `${NAME}/20261123T081500Z/`;
const GANETI = `[export]\nversion = 0\nos = debootstrap\n[instance]\nname = db1\ndisk0_dump = root.snap\n`;

test('an export is removed with all that belongs to it, and nothing else', async () => {
  const store = new MemoryStore();
  const first = await writeExport(store);
  await put(store, `${PREFIX}notes.txt`, 'x');
  await put(store, `${NAME}.org/20261123T081500Z/disk0.img`, 'x');
  const second = await writeExport(store);
  await removeExport(store, first);
  expect(await keysOf(store, PREFIX)).toEqual([]);
  expect((await openExport(store, NAME)).reference).toBe(second);
  expect(await keysOf(store, `${NAME}.org/`)).toHaveLength(1);
});

test('a claim that is left goes first, then the manifest, then what belongs to it, then its dumps, and what tells of it last', async () => {
  const store = new MemoryStore();
  const calls: StoreCall[] = [];
  await removeExport(watchedStore(store, { before: (call) => void calls.push(call) }), await writeExport(store));
  expect(calls.filter((call) => call.startsWith('remove'))).toEqual([
    `remove ${PREFIX}export.claim`,
    `remove ${PREFIX}manifest.json`,
    `remove ${PREFIX}SHA256SUMS ${PREFIX}config.ini ${PREFIX}frames.table ${PREFIX}manifest.json`,
    `remove ${PREFIX}disk0.img ${PREFIX}disk1.img`,
    `remove ${PREFIX}disk0.img.unused ${PREFIX}disk1.img.unused`,
    `remove ${PREFIX}removed.json`,
  ]);
});

describe('a removal that is cut short, wherever', () => {
  test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])(
    'after %i objects: it is not an export any more, and is finished by calling it again',
    async (removed) => {
      const memory = new Memory();
      const store = new MemoryStore(memory);
      const reference = await writeExport(store);
      let left = removed;
      const dying = {
        ...watchedStore(store, {}),
        async remove(keys: readonly string[]) {
          for (const key of keys) {
            left -= 1;
            if (left < 0) throw new StoreError('unavailable', { message: 'gone' });
            await store.remove([key]);
          }
        },
      };
      await expect(removeExport(dying, reference)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      if (removed > 1) await expect(openExport(store, reference)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
      await removeExport(store, reference);
      expect(await keysOf(store)).toEqual([]);
      await expect(removeExport(store, reference)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
    },
  );
});

test('a damaged export can be removed', async () => {
  const store = new MemoryStore();
  const reference = await writeExport(store);
  await put(store, `${PREFIX}manifest.json`, '{');
  await removeExport(store, reference);
  expect(await keysOf(store)).toEqual([]);
});

describe('an export of Ganeti', () => {
  test('right beneath the instance: what its config.ini names, and nothing of the exports beside it', async () => {
    const store = new MemoryStore();
    await put(store, `${NAME}/config.ini`, GANETI);
    await put(store, `${NAME}/root.snap`, 'root');
    await put(store, `${NAME}/notes.txt`, 'mine');
    const other = await writeExport(store);
    await removeExport(store, `${NAME}@ganeti`);
    expect((await keysOf(store)).filter((key) => !key.startsWith(PREFIX))).toEqual([`${NAME}/notes.txt`]);
    expect((await openExport(store, other)).dumps).toHaveLength(2);
  });

  test('in a directory of its own', async () => {
    const store = new MemoryStore();
    await put(store, `${NAME}/saved/config.ini`, GANETI);
    await put(store, `${NAME}/saved/root.snap`, 'root');
    await removeExport(store, `${NAME}@saved`);
    expect(await keysOf(store)).toEqual([]);
  });

  test('whose config.ini cannot be read is left alone: nobody knows what belongs to it', async () => {
    const store = new MemoryStore();
    await put(store, `${NAME}/config.ini`, '[export]');
    await put(store, `${NAME}/root.snap`, 'root');
    await expect(removeExport(store, `${NAME}@ganeti`)).rejects.toMatchObject({ code: 'CONFIG_DAMAGED' });
    expect(await keysOf(store)).toHaveLength(2);
  });
});

describe('what is not removed', () => {
  test('without an id', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    await expect(removeExport(store, NAME)).rejects.toMatchObject({ code: 'USAGE', hint: expect.stringContaining(`${NAME}@EXPORT-ID`) });
    expect(await keysOf(store)).toHaveLength(6);
  });

  test('an export that is not there', async () => {
    await expect(removeExport(new MemoryStore(), `${NAME}@20261123T081500Z`)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
    await expect(removeExport(new MemoryStore(), `${NAME}@../../x`)).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('an export that is not finished', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await writeDump(writer, 0, 'first');
    await expect(removeExport(store, writer.reference)).rejects.toMatchObject({
      code: 'EXPORT_INCOMPLETE',
      hint: `gantry clean --export ${writer.reference} removes it.`,
    });
    expect(await keysOf(store)).toHaveLength(2);
  });
});
