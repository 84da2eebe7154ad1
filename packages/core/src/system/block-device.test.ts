import { open } from 'node:fs/promises';

import { attachLoopDevice, makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { blockDeviceSize, isReadOnlyDevice } from './block-device.ts';

test('a block device says its size in bytes, beyond 4 GiB too', async () => {
  await using directory = await makeTemporaryDirectory();
  const bytes = 5 * 2 ** 30 + 4096;
  await makeSparseFile(directory.file('disk'), bytes);
  await using loop = await attachLoopDevice(directory.file('disk'));
  await using device = await open(loop.path, 'r');
  expect(blockDeviceSize(device.fd)).toBe(bytes);
});

test('a regular file says its size too', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 12_345);
  await using file = await open(directory.file('disk'), 'r');
  expect(blockDeviceSize(file.fd)).toBe(12_345);
});

test.each([true, false])('a block device says whether it is read-only: %s', async (readOnly) => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 4096);
  await using loop = await attachLoopDevice(directory.file('disk'), { readOnly });
  await using device = await open(loop.path, 'r');
  expect(isReadOnlyDevice(device.fd)).toBe(readOnly);
});
