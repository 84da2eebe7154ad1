import { open } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { tryFlock } from './flock.ts';
import { SystemCallError } from './libc.ts';

test('an exclusive lock keeps everybody else out until its file is closed', async () => {
  await using directory = await makeTemporaryDirectory();
  const first = await open(directory.file('lock'), 'w');
  await using second = await open(directory.file('lock'), 'r');
  expect(tryFlock(first.fd, 'exclusive')).toBe(true);
  expect(tryFlock(second.fd, 'exclusive')).toBe(false);
  expect(tryFlock(second.fd, 'shared')).toBe(false);
  await first.close();
  expect(tryFlock(second.fd, 'exclusive')).toBe(true);
});

test('shared locks go together and keep an exclusive one out', async () => {
  await using directory = await makeTemporaryDirectory();
  await using first = await open(directory.file('lock'), 'w');
  await using second = await open(directory.file('lock'), 'r');
  expect(tryFlock(first.fd, 'shared')).toBe(true);
  expect(tryFlock(second.fd, 'shared')).toBe(true);
  expect(tryFlock(second.fd, 'exclusive')).toBe(false);
});

test('a descriptor that is not open is an error with its name, not a lock that somebody has', () => {
  expect(() => tryFlock(999_999, 'exclusive')).toThrow(SystemCallError);
  expect(() => tryFlock(999_999, 'exclusive')).toThrow('EBADF: flock failed');
});
