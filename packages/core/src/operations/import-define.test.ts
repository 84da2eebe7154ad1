import { readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { sha256File } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import { failFiles, systemError } from '../../test/failing-files.ts';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, keysOf, put } from '../../test/sample-export.ts';
import type { InstanceManager } from '../instances/inventory.ts';
import { InventoryError } from '../instances/inventory-error.ts';
import { memoryWorld } from '../instances/testing/memory-inventory.ts';
import type { GantryEvent } from '../report/events.ts';
import { openExport } from '../exports/open-export.ts';
import { verifyExport } from './verify.ts';

const XML = { name: 'domain.xml', secret: false, bytes: Buffer.from('<domain/>') };
const TPM = { name: 'tpm.state', secret: true, bytes: Buffer.from('hunter2') };
const NATIVE = [XML, TPM];

/** An export with its native description. @returns its reference */
async function exported(bench: OperationBench, includePrivate = true): Promise<string> {
  return (await bench.exportDisks({ native: NATIVE, includePrivate })).reference;
}

const failing = (code: 'failed' | 'exists') => (): Promise<never> =>
  Promise.reject(new InventoryError(code, { message: 'no', hint: 'Do it yourself.' }));

/** What the journal still has. */
async function journal(bench: OperationBench): Promise<readonly string[]> {
  return await readdir(bench.directory.file('state', 'runs'));
}

describe('an export', () => {
  test('leaves secret native files out, and says so, unless private parts are asked for', async () => {
    await using bench = await makeOperationBench({});
    const events: GantryEvent[] = [];
    const { reference, warnings } = await bench.exportDisks({ native: NATIVE, onEvent: (event) => events.push(event) });
    expect((await openExport(bench.store, reference)).native.map(({ name }) => name)).toEqual(['domain.xml']);
    expect(warnings).toEqual([expect.stringContaining('lacks secret parts of the native description: tpm.state (--with-private)')]);
    for (const key of await keysOf(bench.store)) expect(await get(bench.store, key)).not.toContain('hunter2');
    const all = await openExport(bench.store, await exported(bench));
    expect(all.native.map(({ name, secret }) => [name, secret])).toEqual([
      ['domain.xml', false],
      ['tpm.state', true],
    ]);
  });

  test.each([
    ['native-domain.xml', '<domain>', 'NATIVE_DAMAGED'],
    ['SHA256SUMS', undefined, 'MANIFEST_DAMAGED'],
  ])('is verified with its native description: another %s is found', async (file, text, code) => {
    await using bench = await makeOperationBench({});
    const reference = await exported(bench);
    await expect(verifyExport({ store: bench.store, export: reference })).resolves.toMatchObject({ checksums: true });
    const key = `${reference.replace('@', '/')}/${file}`;
    await put(bench.store, key, text ?? (await get(bench.store, key)).replace(/.*native-domain.xml\n/, ''));
    await expect(verifyExport({ store: bench.store, export: reference })).rejects.toMatchObject({ code });
  });
});

describe('an import', () => {
  test('defines and starts the instance when its disks are complete, with its native description', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const reference = await exported(bench);
    const world = memoryWorld([]);
    const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
    const digest = await sha256File(path);
    let digestThen: string | undefined;
    const source = world.open((manager) => ({
      define: async (request, options) => {
        digestThen = await sha256File(path);
        return await manager.define(request, options);
      },
    }));
    const { defined } = await bench.importDisks(reference, { define: { source, start: true } });
    expect(defined).toEqual({ source: 'memory:', name: 'web1.example.com', started: true });
    expect(digestThen).toBe(digest);
    expect(world.calls).toEqual(['checkDefine web1.example.com', 'define web1.example.com', 'start web1.example.com']);
    expect(world.descriptions).toMatchObject([{ run: { state: 'running' }, native: NATIVE, instance: { disks: [{ path }, {}] } }]);
    expect(await journal(bench)).toEqual([]);
  });

  test('gives it a new identity only when asked', async () => {
    await using bench = await makeOperationBench({});
    const reference = await exported(bench);
    const original = { ...bench.instance, name: 'web0.example.com', uuid: '11111111-2222-4333-8444-555555555555' };
    const world = memoryWorld([{ instance: original, run: { state: 'stopped' }, guarded: [] }]);
    const instance = { ...bench.instance, uuid: original.uuid };
    const define = { source: world.open() };
    await expect(bench.importDisks(reference, { instance, define })).rejects.toMatchObject({ code: 'INSTANCE_EXISTS' });
    await bench.importDisks(reference, { instance, define: { ...define, newIdentity: true } });
    expect(world.descriptions[1]?.instance.uuid).not.toBe(original.uuid);
  });

  test.each([
    ['cannot be defined', { checkDefine: failing('exists') }, 'INSTANCE_EXISTS'],
    ['has a damaged native description', {}, 'NATIVE_DAMAGED'],
  ] as const)('that %s is refused before the first byte is written', async (what, alter: Partial<InstanceManager>, code) => {
    await using bench = await makeOperationBench({});
    const reference = await exported(bench);
    const { path = '' } = bench.instance.disks[0] ?? {};
    if (what.includes('damaged')) await put(bench.store, `${reference.replace('@', '/')}/native-domain.xml`, '<domian/>');
    await writeFile(path, Buffer.alloc(64 * 1024));
    const before = await sha256File(path);
    const world = memoryWorld([]);
    await expect(bench.importDisks(reference, { define: { source: world.open(() => alter) } })).rejects.toMatchObject({ code });
    expect(await sha256File(path)).toBe(before);
    expect(world.descriptions).toEqual([]);
  });

  test('of a dry run changes nothing, but asks whether it could be defined', async () => {
    await using bench = await makeOperationBench({});
    const world = memoryWorld([]);
    await bench.importDisks(await exported(bench), { dryRun: true, define: { source: world.open(), start: true } });
    expect([world.calls, world.descriptions]).toEqual([['checkDefine web1.example.com'], []]);
  });

  test('warns of disks that it does not bring', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { warnings } = await bench.importDisks(await exported(bench), { disks: [1], define: { source: memoryWorld([]).open() } });
    expect(warnings).toContainEqual('web1.example.com will be defined with disks that are not imported: 0');
  });

  test.each([
    ['defined', { define: failing('failed') }],
    ['started', { start: failing('failed') }],
  ] as const)(
    'whose instance is not %s after all says that the disks are complete, and what to do',
    async (what, alter: Partial<InstanceManager>) => {
      await using bench = await makeOperationBench({});
      const reference = await exported(bench);
      const world = memoryWorld([]);
      const importing = bench.importDisks(reference, { define: { source: world.open(() => alter), start: true } });
      await expect(importing).rejects.toMatchObject({
        code: 'DEFINE_FAILED',
        exitCode: 15,
        message: `the disks of web1.example.com are complete, but it was not ${what} in memory:: memory: no`,
        hint: expect.stringMatching(
          what === 'defined'
            ? /^Do it yourself\. It needs no second import: .* --native NAME prints .*domain\.xml, tpm\.state/
            : /^Do it yourself\. It needs no second import: [^:]*$/,
        ),
      });
      expect(world.descriptions).toHaveLength(what === 'defined' ? 0 : 1);
      expect(await journal(bench)).toEqual([]);
    },
  );

  test.each([
    ['fails for its own reason', { define: failing('failed') }, /not defined in memory:: memory: no/],
    ['has succeeded', {}, undefined],
  ] as const)('that %s although the journal cannot be written at its end', async (_, alter: Partial<InstanceManager>, message) => {
    await using bench = await makeOperationBench({});
    const reference = await exported(bench);
    const world = memoryWorld([]);
    using _failing = await failFiles('datasync', async (file) => {
      const path = await readlink(`/proc/self/fd/${file.fd}`);
      if (!path.startsWith(bench.directory.file('state', 'runs'))) return undefined;
      return /"definition"[^]*"forget":\d+\}\n$/.test(await readFile(path, 'utf8')) ? systemError('ENOSPC') : undefined;
    });
    const importing = bench.importDisks(reference, { define: { source: world.open(() => alter), start: true } });
    if (message === undefined) await expect(importing).resolves.toMatchObject({ defined: { started: true } });
    else await expect(importing).rejects.toThrow(message);
    // A later run says too much.
    expect(await journal(bench)).toHaveLength(1);
  });

  test('that is cancelled while it is defined rejects with the reason, and says that the disks are complete', async () => {
    await using bench = await makeOperationBench({});
    const reference = await exported(bench);
    const enough = new AbortController();
    const source = memoryWorld([]).open(() => ({
      define: async (_request, { signal } = {}) => {
        enough.abort(new Error('enough'));
        signal?.throwIfAborted();
        return '';
      },
    }));
    const warnings: string[] = [];
    const onEvent = (event: GantryEvent): void => void (event.type === 'warning' && warnings.push(event.message));
    await expect(bench.importDisks(reference, { define: { source }, signal: enough.signal, onEvent })).rejects.toThrow('enough');
    expect(warnings).toContain('the disks of web1.example.com are complete, but it was not defined in memory:');
  });

  test('does not believe a source that does not say the name', async () => {
    await using bench = await makeOperationBench({});
    const source = memoryWorld([]).open(() => ({ define: async () => '' }));
    await expect(bench.importDisks(await exported(bench), { define: { source } })).rejects.toMatchObject({
      code: 'DEFINE_FAILED',
      message: expect.stringContaining('does not say under which name it defined'),
    });
  });

  test('needs a source that can define', async () => {
    await using bench = await makeOperationBench({});
    const { manager: _manager, ...source } = memoryWorld([]).open();
    await expect(bench.importDisks(await exported(bench), { define: { source } })).rejects.toMatchObject({ code: 'INVENTORY_READ_ONLY' });
  });
});
