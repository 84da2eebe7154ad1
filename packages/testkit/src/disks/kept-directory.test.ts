import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { keptDirectory } from './kept-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

let home: TemporaryDirectory;

beforeEach(async () => {
  home = await makeTemporaryDirectory();
  vi.stubEnv('XDG_CACHE_HOME', home.path);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await home[Symbol.asyncDispose]();
});

const kept = (): string => home.file('gantry', 'sample');

async function makeIn(path: string, text: string): Promise<void> {
  await mkdir(path);
  await writeFile(join(path, 'text'), text);
}

test('a directory is made once; of two that are made at the same time, one counts, and nothing is left of the other', async () => {
  const both = Promise.withResolvers<void>();
  let making = 0;
  const make = async (path: string): Promise<void> => {
    await makeIn(path, `made by ${(making += 1)}`);
    if (making === 2) both.resolve();
    await both.promise;
  };
  const asked = { kind: 'sample', version: '1', make };
  expect(await Promise.all([keptDirectory(asked), keptDirectory(asked)])).toEqual([join(kept(), '1'), join(kept(), '1')]);
  expect(await readdir(kept())).toEqual(['1']);
  expect(await keptDirectory(asked)).toBe(join(kept(), '1'));
  expect(await readFile(join(kept(), '1', 'text'), 'utf8')).toMatch(/^made by [12]$/);
  expect(making).toBe(2);
});

test('one that cannot get its name, or cannot be made, is an error that says why, and leaves nothing', async () => {
  const inTheWay = async (path: string): Promise<void> => {
    await makeIn(path, 'made');
    await writeFile(join(kept(), '1'), 'a file');
  };
  await expect(keptDirectory({ kind: 'sample', version: '1', make: inTheWay })).rejects.toMatchObject({ code: 'ENOTDIR' });
  const failing = async (path: string): Promise<void> => {
    await makeIn(path, 'half of it');
    throw new Error('it cannot be made');
  };
  await expect(keptDirectory({ kind: 'sample', version: '2', make: failing })).rejects.toThrow('it cannot be made');
  expect(await readdir(kept())).toEqual(['1']);
});
