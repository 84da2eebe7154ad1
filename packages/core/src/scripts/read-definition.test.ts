import { execFileSync } from 'node:child_process';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { OsDefinitionFiles } from '@gantry/testkit';
import { makeTemporaryDirectory, writeOsDefinition } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import type { DefinitionReading } from './read-definition.ts';
import { readDefinition } from './read-definition.ts';

const SCRIPT = '#!/bin/sh\n';

/** Reads a whole definition in which some files are different. */
async function read(files: OsDefinitionFiles, change?: (directory: string) => Promise<void>): Promise<DefinitionReading> {
  await using parent = await makeTemporaryDirectory();
  const directory = await writeOsDefinition(parent.path, 'sample', { files });
  await change?.(directory);
  return await readDefinition('sample', directory);
}

async function definitionOf(files: OsDefinitionFiles): Promise<Extract<DefinitionReading, { valid: true }>['definition']> {
  const reading = await read(files);
  if (!reading.valid) throw new Error(reading.reasons.join('; '));
  return reading.definition;
}

async function reasonsOf(files: OsDefinitionFiles, change?: (directory: string) => Promise<void>): Promise<readonly string[]> {
  const reading = await read(files, change);
  return reading.valid ? [] : reading.reasons;
}

async function replaceByFile(directory: string): Promise<void> {
  await rm(directory, { recursive: true });
  await writeFile(directory, '');
}

describe('a whole definition', () => {
  test('says all of itself', async () => {
    await using parent = await makeTemporaryDirectory();
    const directory = await writeOsDefinition(parent.path, 'sample', {
      files: {
        ganeti_api_version: ' 10 \r\n\n20\n5\n',
        'variants.list': '# the usual\ndefault  \n\n  minimal\n#big\n',
        'parameters.list': 'filesystem\t ext3 or  ext4\nroot-password\n\n# later: more\nfilesystem again\n',
        hypervisors: '# tested\nkvm\n\nxen-pvm\n',
      },
    });
    expect(await readDefinition('sample', directory)).toEqual({
      valid: true,
      definition: {
        name: 'sample',
        directory,
        builtin: false,
        apiVersions: [10, 20, 5],
        apiVersion: 20,
        variants: ['default', 'minimal'],
        parameters: [
          { name: 'filesystem', description: 'ext3 or  ext4' },
          { name: 'root-password', description: '' },
        ],
        hypervisors: ['kvm', 'xen-pvm'],
        scripts: {
          create: join(directory, 'create'),
          export: join(directory, 'export'),
          import: join(directory, 'import'),
          rename: join(directory, 'rename'),
          verify: join(directory, 'verify'),
        },
        operations: new Set(['create', 'export', 'import', 'rename']),
      },
    });
  });

  test.each([
    ['10\n', 10],
    ['10\n15\n', 15],
    ['15\n20\n10\n', 20],
    ['20\n25\n', 20],
    ['15\n25', 15],
  ])('of API versions %j is used at %i, the highest that both sides know', async (text, version) => {
    expect((await definitionOf({ ganeti_api_version: text })).apiVersion).toBe(version);
  });

  test('needs create alone: without export, import and rename it only cannot do these', async () => {
    const { operations, scripts } = await definitionOf({ export: null, import: null, rename: null });
    expect([...operations]).toEqual(['create']);
    expect(Object.keys(scripts).sort()).toEqual(['create', 'verify']);
  });

  test('may have links for its scripts and lists', async () => {
    const { operations, variants } = await definitionOf({
      'common-create': { text: SCRIPT, mode: 0o755 },
      create: { link: 'common-create' },
      'all-variants': 'one\n',
      'variants.list': { link: 'all-variants' },
    });
    expect(operations.has('create')).toBe(true);
    expect(variants).toEqual(['one']);
  });

  test('below API 20 needs neither verify nor parameters.list, and what is there of them means nothing', async () => {
    const { scripts, parameters } = await definitionOf({ ganeti_api_version: '15\n', verify: 'no script', 'parameters.list': '/ ?\n' });
    expect(scripts.verify).toBeUndefined();
    expect(parameters).toEqual([]);
    await definitionOf({ ganeti_api_version: '15\n', verify: null, 'parameters.list': null });
  });

  test('at API 10 has no variants, no matter what a file says', async () => {
    expect((await definitionOf({ ganeti_api_version: '10\n', 'variants.list': 'one\n' })).variants).toEqual([]);
  });

  test('with a list of variants that lists none has none', async () => {
    expect((await definitionOf({ 'variants.list': '# none yet\n\n' })).variants).toEqual([]);
  });
});

describe('a broken definition', () => {
  test.each<[string, OsDefinitionFiles, string]>([
    ['no API version', { ganeti_api_version: null }, 'ganeti_api_version is missing'],
    ['an empty API version', { ganeti_api_version: '\n' }, 'ganeti_api_version states no API version, but only 20, 15, 10 are supported'],
    [
      'a foreign API version',
      { ganeti_api_version: '5\n99\n' },
      'ganeti_api_version states API version 5, 99, but only 20, 15, 10 are supported',
    ],
    [
      'an API version that is not a number',
      { ganeti_api_version: '20\n\ntwenty\n' },
      'ganeti_api_version, line 3: "twenty" is not an integer',
    ],
    ['an API version that is a link to nowhere', { ganeti_api_version: { link: 'nowhere' } }, 'ganeti_api_version is missing'],
    ['no create', { create: null }, 'create is missing'],
    ['a create that is not executable', { create: { text: SCRIPT, mode: 0o644 } }, 'create is not executable by its owner'],
    ['a create that only others may execute', { create: { text: SCRIPT, mode: 0o655 } }, 'create is not executable by its owner'],
    ['a create that is a link to a directory', { create: { link: '.' } }, 'create is not a regular file'],
    ['export without import', { import: null }, 'export exists but import is missing: both are needed, or neither'],
    ['import without export', { export: null }, 'import exists but export is missing: both are needed, or neither'],
    ['a rename that is not executable', { rename: { text: SCRIPT, mode: 0o600 } }, 'rename is not executable by its owner'],
    ['an import that is not executable', { import: { text: SCRIPT, mode: 0o600 } }, 'import is not executable by its owner'],
    ['no verify at API 20', { verify: null }, 'verify is missing, which API 20 requires'],
    ['no parameters.list at API 20', { 'parameters.list': null }, 'parameters.list is missing, which API 20 requires'],
    ['a parameters.list that is a directory', { 'parameters.list': { link: '.' } }, 'parameters.list is not a regular file'],
    ['a parameter with an illegal name', { 'parameters.list': 'a=b  oops\n' }, 'parameters.list: "a=b" is not a valid parameter name'],
    ['a variants.list that is a directory', { 'variants.list': { link: '/' } }, 'variants.list is not a regular file'],
    ['a variant with an illegal name', { 'variants.list': 'one two\n' }, 'variants.list: "one two" is not a valid variant'],
    [
      'a list of no hypervisors',
      { hypervisors: '# none\n' },
      'hypervisors exists but is empty, so that no instance could use the definition',
    ],
    ['hypervisors that are a directory', { hypervisors: { link: '..' } }, 'hypervisors is not a regular file'],
    ['a text file without end', { hypervisors: 'kvm\n'.repeat(300_000) }, 'hypervisors is larger than 1 MiB'],
    ['a link to itself', { create: { link: 'create' } }, 'create cannot be read (ELOOP)'],
  ])('with %s says just that', async (_, files, reason) => {
    expect(await reasonsOf(files)).toEqual([reason]);
  });

  test('does not wait for a pipe in the place of a text file', async () => {
    const reasons = await reasonsOf({ ganeti_api_version: null }, async (directory) => {
      execFileSync('mkfifo', [join(directory, 'ganeti_api_version')]);
    });
    expect(reasons).toEqual(['ganeti_api_version is not a regular file']);
  });

  test('gives every reason at once', async () => {
    expect(
      await reasonsOf({ ganeti_api_version: 'twenty\n', create: { text: SCRIPT, mode: 0o644 }, import: null, hypervisors: '' }),
    ).toEqual([
      'ganeti_api_version, line 1: "twenty" is not an integer',
      'ganeti_api_version states no API version, but only 20, 15, 10 are supported',
      'create is not executable by its owner',
      'export exists but import is missing: both are needed, or neither',
      'hypervisors exists but is empty, so that no instance could use the definition',
    ]);
  });

  test('without a directory says that alone', async () => {
    expect(await reasonsOf({}, (directory) => rm(directory, { recursive: true }))).toEqual(['it is a dangling symbolic link']);
    expect(await reasonsOf({}, replaceByFile)).toEqual(['it is not a directory']);
  });

  test('with a name that nobody could call it by says so', async () => {
    await using parent = await makeTemporaryDirectory();
    const directory = await writeOsDefinition(parent.path, 'a b');
    expect(await readDefinition('a b', directory)).toEqual({ valid: false, reasons: ['"a b" is not a valid name of a definition'] });
    await mkdir(parent.file('target'));
    await symlink('target', parent.file('c+d'));
    expect(await readDefinition('c+d', parent.file('c+d'))).toMatchObject({ valid: false });
  });
});

test('lists the first 20 reasons and counts the others', async () => {
  const reasons = await reasonsOf({ 'variants.list': 'a b\n'.repeat(250_000) });
  expect(reasons).toHaveLength(21);
  expect(reasons.at(-1)).toBe('and 249980 more reasons');
});
