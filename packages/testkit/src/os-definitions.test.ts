import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import { makeTemporaryDirectory } from './disks/temporary-directory.ts';
import { OS_DEFINITIONS, writeOsDefinition, writeOsDefinitions } from './os-definitions.ts';

describe('sample OS definitions', () => {
  test('are all written by default, each with a create script', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeOsDefinitions(directory.path);
    expect((await readdir(directory.path)).sort()).toEqual([...OS_DEFINITIONS].sort());
    for (const name of OS_DEFINITIONS) expect(await readdir(directory.file(name))).toContain('create');
  });

  test('have scripts that sh can parse and that are executable', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeOsDefinitions(directory.path);
    for (const name of OS_DEFINITIONS.filter((each) => each !== 'broken')) {
      for (const file of await readdir(directory.file(name))) {
        const path = directory.file(name, file);
        if (!(await readFile(path, 'utf8')).startsWith('#!')) continue;
        expect((await stat(path)).mode & 0o777, path).toBe(0o755);
        await execa('sh', ['-n', path]);
      }
    }
  });

  test('can be written by name, and an unknown name is refused', async () => {
    await using directory = await makeTemporaryDirectory();
    await writeOsDefinitions(directory.path, ['cat', 'silent']);
    expect((await readdir(directory.path)).sort()).toEqual(['cat', 'silent']);
    await expect(writeOsDefinitions(directory.path, ['dog'])).rejects.toThrow('unknown sample definition dog');
  });
});

describe('an OS definition for one test', () => {
  test('is complete, except for the given files', async () => {
    await using directory = await makeTemporaryDirectory();
    const path = await writeOsDefinition(directory.path, 'mine', {
      files: { rename: null, create: { text: '#!/bin/false\n', mode: 0o600 }, 'variants.list': { link: 'more/variants' } },
    });
    expect(path).toBe(join(directory.path, 'mine'));
    expect((await readdir(path)).sort()).toEqual(
      ['create', 'export', 'ganeti_api_version', 'import', 'parameters.list', 'variants.list', 'verify'].sort(),
    );
    expect((await stat(join(path, 'create'))).mode & 0o777).toBe(0o600);
  });
});
