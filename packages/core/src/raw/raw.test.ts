import { open, readFile, writeFile } from 'node:fs/promises';

import { allocatedBytes, attachLoopDevice, makeRandomFile, makeSparseFile, makeTemporaryDirectory, sha256File } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { readDevice } from './read-device.ts';
import { writeDevice } from './write-device.ts';

const MiB = 1024 * 1024;
const { signal } = new AbortController();

test('a sparse file is read without its holes and written as sparse as it was', async () => {
  await using directory = await makeTemporaryDirectory();
  const source = directory.file('source');
  const target = directory.file('target');
  await makeSparseFile(source, 300 * MiB, [
    { offset: 5 * MiB + 4096, bytes: 3 * MiB, seed: 'a' },
    { offset: 299 * MiB, bytes: MiB, seed: 'b' },
  ]);
  await makeSparseFile(target, 300 * MiB);
  let read = 0;
  for await (const piece of readDevice(source, { signal })) read += piece instanceof Uint8Array ? piece.length : 0;
  expect(read).toBe(4 * MiB);
  await writeDevice(target, readDevice(source, { signal }), { signal });
  expect(await sha256File(target)).toBe(await sha256File(source));
  expect(await allocatedBytes(target)).toBe(await allocatedBytes(source));
});

test('what a target held before is gone, and its holes are as they should be', async () => {
  await using directory = await makeTemporaryDirectory();
  const source = directory.file('source');
  const target = directory.file('target');
  await makeSparseFile(source, 20 * MiB, [{ offset: 7 * MiB, bytes: 100_000, seed: 'a' }]);
  await makeRandomFile(target, 21 * MiB, 'old');
  const rest = (await readFile(target)).subarray(20 * MiB);
  await writeDevice(target, readDevice(source, { signal }), { signal, expectedPlainBytes: 20 * MiB });
  const written = await readFile(target);
  expect(written.subarray(0, 20 * MiB).equals(await readFile(source))).toBe(true);
  expect(written.subarray(20 * MiB).equals(rest)).toBe(true);
  expect(await allocatedBytes(target)).toBeLessThanOrEqual((await allocatedBytes(source)) + MiB);
});

test('a block device is read whole and written whole, zeros over old data', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('source'), 9 * MiB + 512, [{ offset: 2 * MiB, bytes: 1000, seed: 'a' }]);
  await makeRandomFile(directory.file('target'), 10 * MiB, 'old');
  await using source = await attachLoopDevice(directory.file('source'));
  await using target = await attachLoopDevice(directory.file('target'));
  await writeDevice(target.path, readDevice(directory.file('source'), { signal }), { signal });
  const written = await readFile(target.path);
  expect(written.subarray(0, 9 * MiB + 512).equals(await readFile(source.path))).toBe(true);
});

test('a disk that is smaller than the dump is refused before anything is written', async () => {
  await using directory = await makeTemporaryDirectory();
  const target = directory.file('target');
  await writeFile(target, 'as it was');
  const pieces = (async function* () {
    await Promise.resolve();
    yield Buffer.from('new');
  })();
  await expect(writeDevice(target, pieces, { signal, expectedPlainBytes: 10 })).rejects.toMatchObject({ code: 'DISK_TOO_SMALL' });
  expect(await readFile(target, 'utf8')).toBe('as it was');
});

test('a file that becomes shorter while it is read is an error', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('disk');
  await makeRandomFile(path, 8 * MiB, 'a');
  await using file = await open(path, 'r+');
  const reading = (async () => {
    for await (const piece of readDevice(path, { signal })) if (piece) await file.truncate(3 * MiB);
  })();
  await expect(reading).rejects.toMatchObject({ code: 'DISK_IO' });
});
