import { makeTemporaryDirectory, writeOsDefinition, writeOsDefinitions } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { RAW_DEFINITION } from './definition.ts';
import { assertHypervisor, assertOperation, selectOs } from './select.ts';

describe('the definition that an instance names', () => {
  test('is the first of its name on the search path', async () => {
    await using first = await makeTemporaryDirectory();
    await using second = await makeTemporaryDirectory();
    await writeOsDefinitions(first.path, ['cat']);
    await writeOsDefinitions(second.path, ['cat', 'silent']);
    const searchPath = [first.path, second.path];
    expect((await selectOs('cat', { searchPath })).definition.directory).toBe(first.file('cat'));
    expect((await selectOs('silent', { searchPath })).definition.directory).toBe(second.file('silent'));
  });

  test('is not sought any further where the first of its name is broken, with every reason', async () => {
    await using first = await makeTemporaryDirectory();
    await using second = await makeTemporaryDirectory();
    await writeOsDefinition(first.path, 'mine', { files: { create: null, verify: null } });
    await writeOsDefinition(second.path, 'mine');
    await expect(selectOs('mine', { searchPath: [first.path, second.path] })).rejects.toMatchObject({
      code: 'OS_INVALID',
      message: expect.stringContaining(first.file('mine')),
      details: ['create is missing', 'verify is missing, which API 20 requires'],
    });
  });

  test('is built in for raw, unless a directory of that name is on the path', async () => {
    await using path = await makeTemporaryDirectory();
    expect(await selectOs('raw', { searchPath: [path.path] })).toEqual({ definition: RAW_DEFINITION, variant: '', fullName: 'raw' });
    await writeOsDefinition(path.path, 'raw');
    expect((await selectOs('raw', { searchPath: [path.path] })).definition).toMatchObject({ builtin: false, directory: path.file('raw') });
  });

  test('that is nowhere is an error that names where it was sought and what may have been meant', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['env-dump', 'tar-ext4']);
    await expect(selectOs('env-dmup+default', { searchPath: [path.path, path.file('gone')] })).rejects.toMatchObject({
      code: 'OS_NOT_FOUND',
      message: 'OS definition env-dmup not found',
      details: [`searched: ${path.path}`, `searched: ${path.file('gone')} (does not exist)`],
      hint: 'Did you mean env-dump? Put its directory on the search path (--os-path or GANTRY_OS_PATH), or use the built-in raw.',
    });
    await expect(selectOs('something-else', { searchPath: [] })).rejects.toMatchObject({
      code: 'OS_NOT_FOUND',
      details: ['no directory was searched'],
      hint: expect.stringContaining('GANTRY_OS_PATH'),
    });
  });

  test('must have a legal name', async () => {
    await expect(selectOs('../../etc', { searchPath: [] })).rejects.toMatchObject({ code: 'OS_NAME_INVALID' });
  });

  test('rejects with the reason of its signal', async () => {
    await using path = await makeTemporaryDirectory();
    const reason = new Error('enough');
    await expect(selectOs('cat', { searchPath: [path.path], signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe('the variant', () => {
  test('is the first one listed where none is named', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['env-dump']);
    expect(await selectOs('env-dump', { searchPath: [path.path] })).toMatchObject({ variant: 'default', fullName: 'env-dump+default' });
  });

  test('is the one that is named, where it is listed', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['env-dump']);
    const options = { searchPath: [path.path] };
    expect(await selectOs('env-dump+minimal', options)).toMatchObject({ variant: 'minimal', fullName: 'env-dump+minimal' });
    await expect(selectOs('env-dump+minimum', options)).rejects.toMatchObject({
      code: 'OS_VARIANT',
      details: ['its variants: default, minimal'],
      hint: 'Did you mean minimal? To use a variant that is not listed, add --force-variant.',
    });
  });

  test('may be forced', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['env-dump']);
    const selected = await selectOs('env-dump+own', { searchPath: [path.path], forceVariant: true });
    expect(selected).toMatchObject({ variant: 'own', fullName: 'env-dump+own' });
  });

  test.each([false, true])('is refused by a definition without variants (forced: %s)', async (forceVariant) => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['cat']);
    await expect(selectOs('cat+default', { searchPath: [path.path], forceVariant })).rejects.toMatchObject({ code: 'OS_VARIANT' });
    await expect(selectOs('raw+default', { searchPath: [path.path], forceVariant })).rejects.toMatchObject({ code: 'OS_VARIANT' });
    expect(await selectOs('cat', { searchPath: [path.path], forceVariant })).toMatchObject({ variant: '', fullName: 'cat' });
  });
});

describe('what a definition allows', () => {
  test('is the operations whose script it has; the message names the script', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['create-only']);
    const os = await selectOs('create-only', { searchPath: [path.path] });
    assertOperation(os, 'create');
    for (const operation of ['export', 'import', 'rename'] as const) {
      expect(() => assertOperation(os, operation)).toThrow(
        expect.objectContaining({
          code: 'OS_OPERATION_UNSUPPORTED',
          message: `OS definition create-only cannot ${operation} instances: it has no ${operation} script`,
          hint: expect.stringContaining(path.file('create-only', operation)),
        }),
      );
    }
  });

  test('is export and import for the built-in raw', async () => {
    const os = await selectOs('raw', { searchPath: [] });
    assertOperation(os, 'export');
    assertOperation(os, 'import');
    expect(() => assertOperation(os, 'create')).toThrow(expect.objectContaining({ code: 'OS_OPERATION_UNSUPPORTED' }));
    expect(() => assertOperation(os, 'rename')).toThrow(expect.objectContaining({ code: 'OS_OPERATION_UNSUPPORTED' }));
  });

  test('is the hypervisors that it names, or any', async () => {
    await using path = await makeTemporaryDirectory();
    await writeOsDefinitions(path.path, ['kvm-only', 'cat']);
    const only = await selectOs('kvm-only', { searchPath: [path.path] });
    assertHypervisor(only, 'kvm');
    expect(() => assertHypervisor(only, 'xen-pvm')).toThrow(
      expect.objectContaining({ code: 'OS_HYPERVISOR', hint: 'It supports kvm.', message: expect.stringContaining('xen-pvm') }),
    );
    assertHypervisor(await selectOs('cat', { searchPath: [path.path] }), 'xen-pvm');
  });
});
