import { chmod, chown, mkdir, readdir, stat, symlink } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { compileCacheDirectory } from './compile-cache.ts';

const USER = 1234;
const SOMEBODY_ELSE = 4321;

describe('the directory for compiled code', () => {
  test('is created in the home directory, only for its user', async () => {
    await using home = await makeTemporaryDirectory();
    const directory = compileCacheDirectory(home.path, 0);
    expect(directory).toBe(home.file('.cache/gantry'));
    expect((await stat(home.file('.cache/gantry'))).mode & 0o777).toBe(0o700);
    expect(compileCacheDirectory(home.path, 0)).toBe(directory);
  });

  test('may be in a directory that root made for the user', async () => {
    await using home = await makeTemporaryDirectory();
    await mkdir(home.file('.cache'), { mode: 0o755 });
    await mkdir(home.file('.cache/gantry'), { mode: 0o700 });
    await chown(home.file('.cache/gantry'), USER, USER);
    expect(compileCacheDirectory(home.path, USER)).toBe(home.file('.cache/gantry'));
  });

  test("is not created in somebody else's home directory, not even by root", async () => {
    await using home = await makeTemporaryDirectory();
    await chown(home.path, SOMEBODY_ELSE, SOMEBODY_ELSE);
    expect(compileCacheDirectory(home.path, 0)).toBeUndefined();
    expect(await readdir(home.path)).toEqual([]);
  });

  test.each(['.', '.cache', '.cache/gantry'])('is not used if others can write there: %s', async (name) => {
    await using home = await makeTemporaryDirectory();
    await mkdir(home.file('.cache/gantry'), { recursive: true, mode: 0o700 });
    await chmod(home.file(name), 0o770);
    expect(compileCacheDirectory(home.path, 0)).toBeUndefined();
  });

  test.each(['.cache', '.cache/gantry'])('is not used if it belongs to somebody else: %s', async (name) => {
    await using home = await makeTemporaryDirectory();
    await mkdir(home.file('.cache/gantry'), { recursive: true, mode: 0o700 });
    await chown(home.file(name), SOMEBODY_ELSE, SOMEBODY_ELSE);
    expect(compileCacheDirectory(home.path, 0)).toBeUndefined();
  });

  test('is not used through a symbolic link', async () => {
    await using home = await makeTemporaryDirectory();
    await mkdir(home.file('elsewhere'), { mode: 0o700 });
    await mkdir(home.file('.cache'), { mode: 0o700 });
    await symlink(home.file('elsewhere'), home.file('.cache/gantry'));
    expect(compileCacheDirectory(home.path, 0)).toBeUndefined();
  });

  test('is absent if there is no home directory', () => {
    expect(compileCacheDirectory('/nonexistent', 0)).toBeUndefined();
  });
});
