import { open } from 'node:fs/promises';

import { makeRandomFile, makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { startWriteback } from './writeback.ts';

test('a range is accepted for writing, and holds what it held', async () => {
  await using directory = await makeTemporaryDirectory();
  await makeRandomFile(directory.file('disk'), 65_536, 'a');
  await using file = await open(directory.file('disk'), 'r+');
  const before = (await file.read(Buffer.alloc(65_536), 0, 65_536, 0)).buffer;
  await startWriteback(file.fd, 0, 65_536);
  expect((await file.read(Buffer.alloc(65_536), 0, 65_536, 0)).buffer.equals(before)).toBe(true);
});

test('what cannot be written back says why', async () => {
  await expect(startWriteback(999_999, 0, 4096)).rejects.toMatchObject({ code: 'EBADF', syscall: 'sync_file_range' });
});
