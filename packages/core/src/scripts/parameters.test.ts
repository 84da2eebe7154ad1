import type { OsDefinitionFiles, TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory, writeOsDefinition, writeOsDefinitions } from '@gantry/testkit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { sampleInstance } from '../../test/sample-instance.ts';
import { checkParameters } from './parameters.ts';
import type { SelectedOs } from './select.ts';
import { selectOs } from './select.ts';

const NONE = { osparams: {}, osparams_private: {} };

let directory: TemporaryDirectory;

beforeEach(async () => {
  directory = await makeTemporaryDirectory();
});

afterEach(async () => {
  await directory[Symbol.asyncDispose]();
});

async function sample(name: string): Promise<SelectedOs> {
  await writeOsDefinitions(directory.path, [name]);
  return selectOs(name, { searchPath: [directory.path] });
}

async function withFiles(files: OsDefinitionFiles): Promise<SelectedOs> {
  await writeOsDefinition(directory.path, 'mine', { files });
  return selectOs('mine', { searchPath: [directory.path] });
}

describe('OS parameters', () => {
  test('are good where they are listed and verify accepts them', async () => {
    await checkParameters(await sample('env-dump'), { osparams: { filesystem: 'ext3' }, osparams_private: { 'root-password': 'hunter2' } });
  });

  test('are verified even where there are none: the definition may need some', async () => {
    const os = await withFiles({
      verify: '#!/bin/sh\n[ -n "$OSP_SIZE" ] || { echo "size is needed" >&2; exit 1; }\n',
      'parameters.list': 'size\n',
    });
    await expect(checkParameters(os, NONE)).rejects.toMatchObject({ code: 'OS_PARAMETER', details: ['size is needed'] });
    await checkParameters(os, { ...NONE, osparams: { size: '10' } });
  });

  test('must be listed; the nearest name is offered', async () => {
    const os = await sample('env-dump');
    await expect(checkParameters(os, { ...NONE, osparams: { file_system: 'ext4' } })).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      message: 'OS definition env-dump has no parameter file_system',
      hint: 'Did you mean filesystem? Its parameters: filesystem, root-password, ssh-key.',
    });
    await expect(checkParameters(os, { ...NONE, osparams_private: { nothing_like_it: 'hunter2' } })).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      hint: 'Its parameters: filesystem, root-password, ssh-key.',
    });
  });

  test.each(['', 'a b', 'a=b', 'a\0', '-a', 'ä', '../a'])('must have a legal name: not %j', async (name) => {
    await expect(checkParameters(await sample('env-dump'), { ...NONE, osparams: { [name]: '1' } })).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      message: `${JSON.stringify(name)} is not a valid name of an OS parameter`,
    });
  });

  test('must not come out as one variable', async () => {
    const os = await withFiles({ 'parameters.list': 'boot-size\nboot_size\n' });
    await expect(checkParameters(os, { ...NONE, osparams: { 'boot-size': '1', boot_size: '2' } })).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      message: expect.stringContaining('OSP_BOOT_SIZE'),
    });
  });

  test.each([10, 15])('are refused at API %i, which has none', async (version) => {
    const os = await withFiles({ ganeti_api_version: `${String(version)}\n`, 'parameters.list': 'size\n' });
    await checkParameters(os, NONE);
    await expect(checkParameters(os, { ...NONE, osparams: { size: '1' } })).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      hint: `It complies with API ${String(version)}, and parameters need API 20: remove them.`,
    });
  });

  test('are not taken by the built-in raw', async () => {
    const os = await selectOs('raw', { searchPath: [] });
    await checkParameters(os, NONE);
    await expect(checkParameters(os, { ...NONE, osparams: { size: '1' } })).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      hint: 'It does not have parameters.',
    });
  });
});

describe('the verify script', () => {
  test('refuses with the reason that it gives, in which private values do not show', async () => {
    const os = await withFiles({
      verify: '#!/bin/sh\necho "bad user $OSP_USER"\necho "bad password $OSP_PASSWORD" >&2\nexit 1\n',
      'parameters.list': 'user\npassword\n',
    });
    const parameters = { osparams: { user: 'nobody' }, osparams_private: { password: 'hunter2' } };
    const error: unknown = await checkParameters(os, parameters).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'OS_PARAMETER',
      exitCode: 4,
      message: 'OS definition mine refuses the OS parameters: its verify script failed',
      details: expect.arrayContaining(['bad user nobody', 'bad password ***']),
    });
  });

  test('that refuses without a message is named', async () => {
    const os = await withFiles({ verify: '#!/bin/sh\nexit 1\n' });
    await expect(checkParameters(os, NONE)).rejects.toMatchObject({
      code: 'OS_PARAMETER',
      hint: `It gave no reason; see ${directory.file('mine', 'verify')}.`,
    });
  });

  test('that does not run, or dies, is another matter', async () => {
    await expect(checkParameters(await withFiles({ verify: '#!/no/such/shell\n' }), NONE)).rejects.toMatchObject({ code: 'SCRIPT_START' });
    await expect(checkParameters(await sample('killed'), NONE)).rejects.toMatchObject({ code: 'SCRIPT_SIGNALLED' });
  });

  test('gets the instance’s variables where it is known', async () => {
    const os = await withFiles({ verify: '#!/bin/sh\necho "${INSTANCE_NAME-nobody} $OS_NAME $OS_API_VERSION"\n' });
    const lines: string[] = [];
    const onMessage = ({ line }: { readonly line: string }): void => void lines.push(line);
    await checkParameters(os, NONE, { onMessage });
    await checkParameters(os, NONE, { onMessage, instance: sampleInstance() });
    expect(lines).toEqual(['nobody mine 20', 'web1.example.com mine 20']);
  });

  test('is ended with the signal', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const checking = checkParameters(await sample('never-ends'), NONE, {
      signal: controller.signal,
      onMessage: () => controller.abort(reason),
    });
    await expect(checking).rejects.toBe(reason);
  });
});
