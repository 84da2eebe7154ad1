import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { put, sampleHeader, writeExport } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { readSideFile } from './examine.ts';

const directory = { instance: sampleHeader.instance, id: '20261123T081500Z' };
const PREFIX = 'web1.example.com/20261123T081500Z/';

describe('the files beside the manifest', () => {
  test('are read', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    expect(await readSideFile(store, directory, 'config.ini', {})).toMatch(/^\[export\]\nversion = 0\n/);
    expect(await readSideFile(store, directory, 'SHA256SUMS', {})).toMatch(/ {2}disk0.img\n/);
  });

  test.each([
    ['config.ini', 'CONFIG_DAMAGED', 1],
    ['SHA256SUMS', 'MANIFEST_DAMAGED', 16],
  ] as const)('%s that is missing, no text or larger than any is damage', async (name, code, mebibytes) => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    const most = mebibytes * 1024 ** 2;
    for (const [content, problem] of [
      [new Uint8Array([0xff]), 'it is not UTF-8 text'],
      ['#'.repeat(most + 1), `it is too large: ${most + 1} bytes, and at most ${most} are allowed`],
    ] as const) {
      await put(store, `${PREFIX}${name}`, content);
      await expect(readSideFile(store, directory, name, {})).rejects.toMatchObject({
        code,
        message: `${name} of ${reference} is damaged: ${problem}`,
      });
    }
    await store.remove([`${PREFIX}${name}`]);
    await expect(readSideFile(store, directory, name, {})).rejects.toMatchObject({
      code,
      message: `${name} of ${reference} is damaged: it is missing`,
    });
  });

  test('in a store that fails are not damage', async () => {
    const broken = watchedStore(new MemoryStore(), {
      before: () => {
        throw new StoreError('unavailable', { message: 'gone' });
      },
    });
    await expect(readSideFile(broken, directory, 'config.ini', {})).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});
