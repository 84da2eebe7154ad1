import { symlink, writeFile } from 'node:fs/promises';

import { makeTemporaryDirectory, OS_DEFINITIONS, SOUND_DEFINITIONS, writeOsDefinition, writeOsDefinitions } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { RAW_DEFINITION } from './definition.ts';
import { diagnoseDefinitions } from './diagnose.ts';

describe('diagnosis', () => {
  test('says of every definition whether it is valid and what it can do, or every reason why not', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path);
    const found = await diagnoseDefinitions([path.path]);
    expect(found.map(({ name }) => name)).toEqual([...OS_DEFINITIONS].sort().concat('raw'));
    for (const diagnosis of found.filter(({ name }) => SOUND_DEFINITIONS.includes(name))) expect(diagnosis).toMatchObject({ valid: true });
    const by = (name: string): unknown => found.find((diagnosis) => diagnosis.name === name);
    expect(by('env-dump')).toMatchObject({ valid: true, definition: { apiVersion: 20, variants: ['default', 'minimal'] } });
    expect(by('create-only')).toMatchObject({ valid: true, definition: { operations: new Set(['create']) } });
    expect(by('kvm-only')).toMatchObject({ valid: true, definition: { hypervisors: ['kvm'] } });
    expect(by('api-99')).toEqual({
      name: 'api-99',
      directory: path.file('api-99'),
      valid: false,
      reasons: ['ganeti_api_version states API version 99, but only 20, 15, 10 are supported'],
    });
    expect(by('broken')).toMatchObject({ valid: false, reasons: { length: 4 } });
    expect(by('raw')).toEqual({ name: 'raw', valid: true, definition: RAW_DEFINITION });
  });

  test('follows the search path, and marks what is shadowed by the first of its name, broken as that may be', async () => {
    await using first = await makeTemporaryDirectory();
    await using second = await makeTemporaryDirectory();
    await writeOsDefinition(first.path, 'both', { files: { create: null } });
    await writeOsDefinition(second.path, 'both');
    await writeOsDefinition(second.path, 'one');
    const found = await diagnoseDefinitions([first.path, second.path]);
    expect(found.map(({ name, valid, directory, shadowedBy }) => [name, valid, directory, shadowedBy])).toEqual([
      ['both', false, first.file('both'), undefined],
      ['both', true, second.file('both'), first.file('both')],
      ['one', true, second.file('one'), undefined],
      ['raw', true, undefined, undefined],
    ]);
  });

  test('lets a directory called raw stand before the built-in definition', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinition(path.path, 'raw');
    const found = await diagnoseDefinitions([path.path]);
    expect(found.map(({ name, shadowedBy }) => [name, shadowedBy])).toEqual([
      ['raw', undefined],
      ['raw', path.file('raw')],
    ]);
  });

  test('names a link that leads nowhere', async () => {
    await using path = await makeTemporaryDirectory();
    await symlink('/nowhere/at/all', path.file('lost'));
    expect((await diagnoseDefinitions([path.path]))[0]).toEqual({
      name: 'lost',
      directory: path.file('lost'),
      valid: false,
      reasons: ['it is a dangling symbolic link'],
    });
  });

  test('takes a directory of the path that is not there for an empty one, and refuses one that it cannot list', async () => {
    await using path = await makeTemporaryDirectory();
    await writeFile(path.file('file'), '');
    expect(await diagnoseDefinitions([path.file('gone')])).toHaveLength(1);
    await expect(diagnoseDefinitions([path.file('file')])).rejects.toMatchObject({
      code: 'OS_NOT_FOUND',
      message: expect.stringContaining(`${path.file('file')} cannot be read (ENOTDIR)`),
    });
  });

  test('rejects with the reason of its signal', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['cat']);
    const reason = new Error('enough');
    await expect(diagnoseDefinitions([path.path], AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
