import { chmod, chown, mkdir, stat, writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory, mountNewTmpfs, mountReadOnly } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { openStateDirectory, stateDirectoryPath } from './state-directory.ts';

function asNobody(environment: NodeJS.ProcessEnv): string {
  process.seteuid?.(65_534);
  try {
    return stateDirectoryPath(undefined, environment);
  } finally {
    process.seteuid?.(0);
  }
}

describe('which directory it is', () => {
  test('the option comes before the environment, and both before the default', () => {
    expect(stateDirectoryPath('/a', { GANTRY_STATE_DIR: '/b' })).toBe('/a');
    expect(stateDirectoryPath(undefined, { GANTRY_STATE_DIR: '/b' })).toBe('/b');
    expect(stateDirectoryPath(undefined, { GANTRY_STATE_DIR: '' })).toBe('/var/lib/gantry');
  });

  test('a relative path counts from the working directory', () => {
    expect(stateDirectoryPath('state')).toBe(`${process.cwd()}/state`);
  });

  test('who is not root has it in the XDG state directory', () => {
    expect(asNobody({ XDG_STATE_HOME: '/home/n/state' })).toBe('/home/n/state/gantry');
    expect(asNobody({ XDG_STATE_HOME: 'relative/is/ignored' })).toMatch(/\/\.local\/state\/gantry$/);
    expect(asNobody({})).toMatch(/\/\.local\/state\/gantry$/);
  });
});

describe('opening it', () => {
  test('makes it, for its owner alone', async () => {
    await using scratch = await makeTemporaryDirectory();
    const state = await openStateDirectory(scratch.file('a', 'b'));
    for (const path of [state.path, state.locks, state.runs]) expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await openStateDirectory(state.path)).toEqual(state);
  });

  test('refuses one that others may write', async () => {
    await using scratch = await makeTemporaryDirectory();
    await mkdir(scratch.file('state'));
    await chmod(scratch.file('state'), 0o770);
    await expect(openStateDirectory(scratch.file('state'))).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/is writable for others/),
    });
  });

  test('refuses one in which others may write to the journals', async () => {
    await using scratch = await makeTemporaryDirectory();
    const state = await openStateDirectory(scratch.file('state'));
    await chmod(state.runs, 0o707);
    await expect(openStateDirectory(scratch.file('state'))).rejects.toMatchObject({ code: 'STATE_UNUSABLE' });
  });

  test('refuses one that belongs to somebody else', async () => {
    await using scratch = await makeTemporaryDirectory();
    await mkdir(scratch.file('state'), { mode: 0o700 });
    await chown(scratch.file('state'), 65_534, 65_534);
    await expect(openStateDirectory(scratch.file('state'))).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/belongs to user 65534/),
    });
  });

  test('says what is to be done where its file system is full', async () => {
    await using small = await mountNewTmpfs(64 * 1024);
    await execa('mount', ['-o', 'remount,nr_inodes=3', small.path]);
    await expect(openStateDirectory(small.file('a', 'b', 'c'))).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/ENOSPC/),
      hint: expect.stringMatching(/^Free space on its file system \(df -h, and df -i/),
    });
  });

  test('says so when it cannot be made', async () => {
    await using scratch = await makeTemporaryDirectory();
    await writeFile(scratch.file('file'), '');
    await expect(openStateDirectory(scratch.file('file', 'state'))).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      hint: expect.stringMatching(/GANTRY_STATE_DIR/),
    });
    await using view = await mountReadOnly(scratch.path);
    await expect(openStateDirectory(view.file('state'))).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/EROFS/),
      hint: expect.stringMatching(/mounted read-only.*remount,rw/),
    });
  });
});
