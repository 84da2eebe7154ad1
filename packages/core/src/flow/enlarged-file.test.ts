import { open, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises';
import { holdOpen, makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { enlargeFile, takeSizeBack } from './enlarged-file.ts';
import type { LongerFile } from './new-disk-plan.ts';

const signal = new AbortController().signal;
const BYTES = 1_000_000;

async function writeAt(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(Buffer.from('x'), 0, 1, offset);
}

test.each([0, 5, 4096, 5000])('an enlarged file of %i bytes gets its size back', async (bytes) => {
  await using directory = await makeTemporaryDirectory();
  const planned: LongerFile = { kind: 'longer', index: 0, path: directory.file('disk'), bytes: BYTES };
  const before = Buffer.alloc(bytes, 1);
  await writeFile(planned.path, before);
  const file = await enlargeFile(planned, false);
  expect((await stat(planned.path)).size).toBe(BYTES);
  expect(file).toMatchObject({ bytesBefore: bytes });
  if (file !== undefined) await takeSizeBack(file, signal);
  expect(await readFile(planned.path)).toEqual(before);
});

test('a file that has become long enough since the plan is left as it is', async () => {
  await using directory = await makeTemporaryDirectory();
  await writeFile(directory.file('disk'), 'longer by now');
  expect(await enlargeFile({ kind: 'longer', index: 0, path: directory.file('disk'), bytes: 10 }, false)).toBeUndefined();
  expect(await readFile(directory.file('disk'), 'utf8')).toBe('longer by now');
});

test.each<readonly [string, (path: string) => Promise<unknown>]>([
  ['has resized it', (path) => truncate(path, 2 * BYTES)],
  ['has written to its end', (path) => writeAt(path, BYTES - 1)],
  ['has written into what was its last block', (path) => writeAt(path, 100)],
  [
    'has put another one in its place',
    async (path) => {
      await writeFile(`${path}.new`, '');
      await truncate(`${path}.new`, BYTES);
      await rename(`${path}.new`, path);
    },
  ],
])('an enlarged file keeps its size if somebody else %s', async (_what, change) => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('disk');
  await writeFile(path, 'short');
  const file = await enlargeFile({ kind: 'longer', index: 0, path, bytes: BYTES }, false);
  await change(path);
  const { size } = await stat(path);
  if (file !== undefined) await takeSizeBack(file, signal);
  expect((await stat(path)).size).toBe(size);
});

test('an enlarged file keeps its size while somebody has it open', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = directory.file('disk');
  await writeFile(path, 'short');
  const file = await enlargeFile({ kind: 'longer', index: 0, path, bytes: BYTES }, false);
  await using _guest = await holdOpen(path, '<>');
  if (file !== undefined) await takeSizeBack(file, signal);
  expect((await stat(path)).size).toBe(BYTES);
});
