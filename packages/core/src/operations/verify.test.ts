import { describe, expect, test } from 'vitest';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import { get, put } from '../../test/sample-export.ts';
import { verifyExport } from './verify.ts';

describe('what verify compares beside the dumps', () => {
  test.each([
    ['a config.ini that says something else', 'config.ini', (text: string) => text.replace('kvm', 'xen'), 'CONFIG_DAMAGED'],
    ['a config.ini that is longer', 'config.ini', (text: string) => `${text}\n`, 'CONFIG_DAMAGED'],
    ['a SHA256SUMS without config.ini', 'SHA256SUMS', (text: string) => text.replace(/.*config\.ini\n/, ''), 'CONFIG_DAMAGED'],
    ['a SHA256SUMS with another digest of a dump', 'SHA256SUMS', (text: string) => text.replace(/^./, otherDigit), 'MANIFEST_DAMAGED'],
    ['a SHA256SUMS without a dump', 'SHA256SUMS', (text: string) => text.replace(/.*disk1.*\n/, ''), 'MANIFEST_DAMAGED'],
    ['a SHA256SUMS that is not one', 'SHA256SUMS', () => 'sums', 'MANIFEST_DAMAGED'],
  ])('%s', async (_what, file, change, code) => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { store } = bench;
    const { reference } = await bench.exportDisks();
    await expect(verifyExport({ store, export: reference })).resolves.toMatchObject({ checksums: true, warnings: [] });
    const key = `${reference.replace('@', '/')}/${file}`;
    const before = await get(store, key);
    expect(change(before)).not.toBe(before);
    await put(store, key, change(before));
    await expect(verifyExport({ store, export: reference })).rejects.toMatchObject({ code });
  });
});

test.each([['stored'], ['frames']] as const)('everything is verified, although a small file is damaged (%s)', async (depth) => {
  await using bench = await makeOperationBench({ disks: 2 });
  const { store } = bench;
  const { reference } = await bench.exportDisks({ codec: 'none' });
  const prefix = reference.replace('@', '/');
  await put(store, `${prefix}/config.ini`, 'other');
  for (const disk of [0, 1]) await put(store, `${prefix}/disk${disk}.img`, Buffer.alloc(DISK_BYTES, 'other'));
  await expect(verifyExport({ store, export: reference, depth })).rejects.toMatchObject({
    code: 'CONFIG_DAMAGED',
    details: [expect.stringMatching(/^also: disk0\.img.*\[DUMP_DAMAGED\]$/), expect.stringMatching(/^also: disk1\.img.*\[DUMP_DAMAGED\]$/)],
  });
});

test('a dump that was cut off is found by its size, before it is read', async () => {
  await using bench = await makeOperationBench({});
  const { store } = bench;
  const { reference } = await bench.exportDisks({ codec: 'none' });
  const key = `${reference.replace('@', '/')}/disk0.img`;
  await put(store, key, (await get(store, key)).slice(0, 1000));
  await expect(verifyExport({ store, export: reference })).rejects.toMatchObject({
    code: 'DUMP_DAMAGED',
    disk: 0,
    message: expect.stringContaining('disk0.img of web1.example.com@'),
  });
});

test('of several disks, the one whose dump is damaged is named', async () => {
  await using bench = await makeOperationBench({ disks: 2 });
  const { store } = bench;
  const { reference } = await bench.exportDisks({ codec: 'none' });
  const key = `${reference.replace('@', '/')}/disk1.img`;
  await using dump = await store.read(key);
  await put(store, key, Buffer.alloc(dump.length, 'other'));
  const expected = { code: 'DUMP_DAMAGED', disk: 1, message: expect.stringMatching(/^disk1\.img: the dump is damaged in frame 0 /) };
  await expect(verifyExport({ store, export: reference })).rejects.toMatchObject(expected);
});

function otherDigit(digit: string): string {
  return digit === '0' ? '1' : '0';
}
