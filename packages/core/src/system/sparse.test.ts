import { open } from 'node:fs/promises';

import { allocatedBytes, makeRandomFile, makeSparseFile, makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { SystemCallError } from './libc.ts';
import { findData, findHole, punchHole, zeroRange } from './sparse.ts';

const GiB = 2 ** 30;

test('data and holes are found beyond 4 GiB too', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeSparseFile(directory.file('disk'), 9 * GiB, [{ offset: 5 * GiB, bytes: 8192, seed: 'a' }]);
  await using file = await open(directory.file('disk'), 'r');
  expect(findData(file.fd, 0)).toBe(5 * GiB);
  expect(findData(file.fd, 5 * GiB + 5)).toBe(5 * GiB + 5);
  expect(findHole(file.fd, 5 * GiB)).toBe(5 * GiB + 8192);
  expect(findHole(file.fd, 7)).toBe(7);
  expect(findData(file.fd, 6 * GiB)).toBeUndefined();
  expect(findHole(file.fd, 10 * GiB)).toBeUndefined();
});

test('a hole is punched on another thread, and reads as zeros', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeRandomFile(directory.file('disk'), 65_536, 'a');
  await using file = await open(directory.file('disk'), 'r+');
  expect(await punchHole(file.fd, 4096, 32_768)).toBe(true);
  await file.sync();
  expect(await allocatedBytes(directory.file('disk'))).toBe(32_768);
  expect((await file.read(Buffer.alloc(32_768, 1), 0, 32_768, 4096)).buffer.equals(Buffer.alloc(32_768))).toBe(true);
});

test('a range is zeroed and keeps its space', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeRandomFile(directory.file('disk'), 65_536, 'a');
  await using file = await open(directory.file('disk'), 'r+');
  expect(await zeroRange(file.fd, 100, 1000)).toBe(true);
  expect((await file.read(Buffer.alloc(1000, 1), 0, 1000, 100)).buffer.equals(Buffer.alloc(1000))).toBe(true);
  expect(await allocatedBytes(directory.file('disk'))).toBe(65_536);
});

test('what fails says why, on this thread and on another', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeRandomFile(directory.file('disk'), 4096, 'a');
  await using readable = await open(directory.file('disk'), 'r');
  await expect(punchHole(readable.fd, 0, 4096)).rejects.toMatchObject({ name: 'SystemCallError', code: 'EBADF', syscall: 'fallocate' });
  expect(() => findData(999_999, 0)).toThrow(SystemCallError);
  expect(() => findHole(999_999, 0)).toThrow('EBADF: lseek failed');
});
