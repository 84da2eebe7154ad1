import { open } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { copyFileRange } from './copy-file-range.ts';
import { FileStore } from './file-store.ts';

const directory = await makeTemporaryDirectory('gantry-file-copy-');
afterAll(() => directory[Symbol.asyncDispose]());

const BYTES = Buffer.alloc(40 * 1024 * 1024, 'gantry');

async function* bytes(): AsyncGenerator<Uint8Array> {
  yield BYTES;
}

test('the kernel copies a range: no byte of it passes through the process', async () => {
  await using store = new FileStore(directory.file('store'));
  {
    await using pending = await store.begin('pack', { digestBy: 'caller' });
    await pending.append(bytes());
    await pending.commit({ size: BYTES.length, sha256: 'as its caller says' });
  }
  await using pending = await store.begin('new', { digestBy: 'reader' });
  expect(await pending.appendRange?.({ key: 'pack', offset: 7, length: BYTES.length - 7 })).toBe(0);
  await pending.commit({ size: BYTES.length - 7 });
  await using copy = await store.read('new');
  const chunks = await Array.fromAsync(copy, (chunk) => Buffer.from(chunk));
  expect(Buffer.concat(chunks).equals(BYTES.subarray(7))).toBe(true);
});

test('what the kernel cannot copy is left to the caller; a failure is named as Node does', async () => {
  await expect(copyFileRange({ from: -1, offset: 0, to: -1, bytes: 1 })).resolves.toBeUndefined();
  await using from = await open(directory.file('store', 'pack'));
  await using full = await open('/dev/full', 'w');
  await expect(copyFileRange({ from: from.fd, offset: 0, to: full.fd, bytes: 1 })).resolves.toBeUndefined();
  await using to = await open(directory.file('limited'), 'w');
  const beyond = { from: from.fd, offset: 0, to: to.fd, bytes: 2 ** 53 };
  await expect(copyFileRange({ ...beyond, offset: BYTES.length })).resolves.toBe(0);
});
