import { mkdir, symlink, writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { listCandidates, osSearchPath } from './search-path.ts';

const GANETI = ['/srv/ganeti/os', '/usr/local/lib/ganeti/os', '/usr/lib/ganeti/os', '/usr/share/ganeti/os'];

describe('the search path', () => {
  test('is Ganeti’s own where nothing is said', () => {
    expect(osSearchPath({})).toEqual(GANETI);
  });

  test('begins with the flags, goes on with GANTRY_OS_PATH and ends with Ganeti’s own', () => {
    expect(osSearchPath({ flags: ['/a', '/b'], env: { GANTRY_OS_PATH: '/c:/d' } })).toEqual(['/a', '/b', '/c', '/d', ...GANETI]);
  });

  test('has each directory once, where it stands first', () => {
    expect(osSearchPath({ flags: ['/srv/ganeti/os', '/a/'], env: { GANTRY_OS_PATH: '/a' } })).toEqual([
      '/srv/ganeti/os',
      '/a',
      ...GANETI.slice(1),
    ]);
  });

  test('is absolute, and an empty part of GANTRY_OS_PATH is not the working directory', () => {
    expect(osSearchPath({ flags: ['os'], env: { GANTRY_OS_PATH: '::' } })).toEqual([`${process.cwd()}/os`, ...GANETI]);
  });
});

describe('what may be a definition in a directory of the path', () => {
  test('is every directory or link to one, and a link that leads nowhere; no file, nothing hidden', async () => {
    await using directory = await makeTemporaryDirectory();
    await mkdir(directory.file('b'));
    await mkdir(directory.file('.git'));
    await writeFile(directory.file('README'), '');
    await symlink('b', directory.file('a'));
    await symlink('README', directory.file('c'));
    await symlink('nowhere', directory.file('d'));
    expect(await listCandidates(directory.path)).toEqual({ names: ['a', 'b', 'd'], problem: undefined });
  });

  test('is nothing, with the reason, where the directory does not exist or is a file', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeFile(directory.file('file'), '');
    expect(await listCandidates(directory.file('gone'))).toEqual({ names: [], problem: 'does not exist' });
    expect(await listCandidates(directory.file('file'))).toEqual({ names: [], problem: 'cannot be read (ENOTDIR)' });
  });
});
