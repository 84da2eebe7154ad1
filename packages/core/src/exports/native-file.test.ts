import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { get, keysOf, put, sampleHeader, sampleManifest, sha256, writeDump } from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from './list-exports.ts';
import { checkManifest } from './manifest.ts';
import { openExport } from './open-export.ts';
import { removeExport } from './remove-export.ts';
import { parseSha256Sums } from './sha256sums.ts';
import { storeSink } from './store-sink.ts';

const PREFIX = 'web1.example.com/20261123T081500Z/';
const XML = { name: 'domain.xml', secret: false, bytes: Buffer.from('<domain/>') };
const TPM = { name: 'tpm.state', secret: true, bytes: Buffer.from([0, 255, 1]) };

/** @returns the reference of an export with one dump and a native description */
async function writeNative(store: Store): Promise<string> {
  await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
  for (const file of [XML, TPM]) await writer.native(file);
  await writer.commit(sampleManifest(writer.id, [await writeDump(writer, 0, 'first disk')]));
  return writer.reference;
}

describe('a native description', () => {
  test('goes beside the dumps, with its digests in the manifest and in SHA256SUMS', async () => {
    const store = new MemoryStore();
    const found = await openExport(store, await writeNative(store));
    expect(found.native).toEqual([
      { name: 'domain.xml', secret: false, size: 9, sha256: sha256('<domain/>') },
      { name: 'tpm.state', secret: true, size: 3, sha256: sha256(TPM.bytes) },
    ]);
    expect(await get(store, `${PREFIX}native-domain.xml`)).toBe('<domain/>');
    expect(parseSha256Sums(await get(store, `${PREFIX}SHA256SUMS`), 'it')).toContainEqual({
      name: 'native-tpm.state',
      sha256: sha256(TPM.bytes),
    });
    expect(await found.nativeFile('tpm.state')).toEqual(TPM);
    await expect(found.nativeFile('nvram.fd')).rejects.toMatchObject({
      code: 'NATIVE_UNKNOWN',
      hint: 'It has domain.xml, tpm.state.',
    });
  });

  test('changes nothing in a list, and is removed with its export', async () => {
    const store = new MemoryStore();
    const reference = await writeNative(store);
    expect(await Array.fromAsync(listExports(store))).toMatchObject([{ reference, state: 'complete', disks: 1, storedBytes: 10 }]);
    await removeExport(store, reference);
    expect(await keysOf(store)).toEqual([]);
  });

  test('has no second file of a name, and none that is not a file name', async () => {
    await using writer = await storeSink(new MemoryStore(), { createStore: true }).open(sampleHeader);
    await writer.native(XML);
    await expect(writer.native(XML)).rejects.toMatchObject({ code: 'invalid-key' });
    await expect(writer.native({ ...XML, name: '../x' })).rejects.toMatchObject({ code: 'invalid-key' });
  });

  test('goes with an export that fails', async () => {
    const store = new MemoryStore();
    const writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await writer.native(XML);
    await writer[Symbol.asyncDispose]();
    expect(await keysOf(store)).toEqual([]);
  });

  test('must still be there when the manifest is written', async () => {
    const memory = new MemoryStore();
    const store = watchedStore(memory, {
      before: async (call: StoreCall) => {
        if (call === `commit ${PREFIX}SHA256SUMS`) await memory.remove([`${PREFIX}native-domain.xml`]);
      },
    });
    const failure = await writeNative(store).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoreError);
    expect(failure).toMatchObject({ message: expect.stringContaining('native-domain.xml') });
  });
});

describe('a native file that is not what the manifest says', () => {
  test.each([
    ['other bytes', '<domian/>', 'SHA-256 mismatch'],
    ['fewer bytes', '<domain', '7 bytes instead of 9'],
    ['more bytes', '<domain/>\n', 'too large'],
    ['nothing', undefined, 'it is missing'],
  ])('%s: is not read', async (_what, text, message) => {
    const store = new MemoryStore();
    const found = await openExport(store, await writeNative(store));
    if (text === undefined) await store.remove([`${PREFIX}native-domain.xml`]);
    else await put(store, `${PREFIX}native-domain.xml`, text);
    await expect(found.nativeFile('domain.xml')).rejects.toMatchObject({
      code: 'NATIVE_DAMAGED',
      message: expect.stringContaining(message),
    });
  });
});

describe('a manifest', () => {
  const manifest = sampleManifest('20261123T081500Z', []);
  const record = { name: 'domain.xml', secret: false, size: 9, sha256: '0'.repeat(64) };

  test.each([
    ['a name that is a path', [{ ...record, name: '../x' }]],
    ['a name twice', [record, record]],
    ['more bytes than are read', [{ ...record, size: 17 * 1024 * 1024 }]],
    [
      'more bytes together than are read',
      [
        { ...record, size: 9 * 1024 * 1024 },
        { ...record, name: 'nvram.fd', size: 9 * 1024 * 1024 },
      ],
    ],
    ['more files than are read', Array.from({ length: 101 }, (_, at) => ({ ...record, name: `f${at}` }))],
    ['no word about secrecy', [{ name: 'domain.xml', size: 9, sha256: record.sha256 }]],
    ['what is not a list', {}],
  ])('is refused with %s', (_what, native) => {
    expect(checkManifest({ ...manifest, native: [record] }, 'it').native).toEqual([record]);
    expect(() => checkManifest({ ...manifest, native }, 'it')).toThrow(expect.objectContaining({ code: 'MANIFEST_DAMAGED' }));
  });
});
