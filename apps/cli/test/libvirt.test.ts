import { open, rm, truncate, writeFile } from 'node:fs/promises';
import { openInstanceSource } from '@gantry/config';
import { describeFrom } from '@gantry/core';
import type { InstanceSource } from '@gantry/core/inventory';
import type { LibvirtGuest, Libvirtd } from '@gantry/testkit';
import { defineLibvirtGuest, startLibvirtd } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { jsonLines, lastLine, makeWorkbench } from './workbench.ts';

/*
 * A guest of a real libvirtd is exported while it runs, lost with its disks and its domain, and comes back from the store: what was qcow2 is
 * raw then. The tests depend on those before them.
 */

const NAME = 'web1.example.com';
const DISK_BYTES = 4 * 1024 * 1024;

let scope: AsyncDisposableStack;
let libvirtd: Libvirtd;
let bench: Workbench;
let guest: LibvirtGuest;
let exported: string;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  libvirtd = scope.use(await startLibvirtd());
  bench = scope.use(await makeWorkbench({ LIBVIRT_DEFAULT_URI: libvirtd.uri }));
  await execa('qemu-img', ['convert', '-O', 'qcow2', await makeDisk('b.img', 'second disk\n'), bench.file('b.qcow2')]);
  const disks = [{ file: await makeDisk('a.img', 'first disk\n') }, { file: bench.file('b.qcow2'), format: 'qcow2' as const }];
  const elements = `<metadata><g:instance xmlns:g='urn:gantry:instance'><g:tag>prod</g:tag></g:instance></metadata>`;
  guest = await defineLibvirtGuest(libvirtd, { name: NAME, disks, does: 'answers', elements });
  await writeFile(bench.file('snapshot.yaml'), `libvirt: { scratch: ${bench.path}, socket: ${bench.path}, reserve: 64 }\n`);
  await libvirtd.virsh('start', NAME);
  await guest.says(/ready/);
}, 240_000);

afterAll(() => scope.disposeAsync());

async function makeDisk(name: string, text: string): Promise<string> {
  await using file = await open(bench.file(name), 'wx', 0o600);
  await file.write(text);
  await file.truncate(DISK_BYTES);
  return bench.file(name);
}

async function openSource(address: string): Promise<InstanceSource> {
  const env = { ...process.env, LIBVIRT_DEFAULT_URI: libvirtd.uri };
  return await openInstanceSource(address, { signal: new AbortController().signal, env, cwd: bench.path, warn: () => undefined });
}

test('domains are listed, and described as an instance file', async () => {
  const { stdout } = await bench.gantry('instances', 'libvirt:', 'web*', '--tag', 'prod', '--json');
  expect(jsonLines(stdout)).toMatchObject([{ instances: [{ name: NAME, run: { state: 'running' }, disks: 2, tags: ['prod'] }] }]);
  const described = await bench.gantry('describe', `libvirt:${guest.uuid}`);
  expect(described).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`path: ${bench.file('a.img')}`) });
  const unknown = await bench.gantry('describe', 'libvirt:web2');
  expect(unknown.stderr).toContain('[INSTANCE_NOT_FOUND]');
});

test('a guest that runs is exported, and nothing is written to its disks', async () => {
  const snapshot = ['--snapshot', 'libvirt', '--snapshot-config', bench.file('snapshot.yaml')];
  const { exitCode, stdout, stderr } = await bench.gantry('export', `libvirt:${NAME}`, bench.store, ...snapshot);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  exported = lastLine(stdout);
  const refused = await bench.gantry('import', bench.store, exported, '--to', `libvirt:${NAME}`);
  expect(refused.exitCode).not.toBe(0);
  expect(refused.stderr).toContain('the instance runs on');
}, 120_000);

test('a guest that runs is exported by a policy that selects it by its tag', async () => {
  const config = bench.file('gantry.yaml');
  const how = `snapshot: libvirt, snapshot-config: ${bench.file('snapshot.yaml')}`;
  const policy = `{ instances: [{ source: 'libvirt:', tags: [prod] }], stores: ${bench.store}, ${how} }`;
  await writeFile(config, `policies: { nightly: ${policy} }\n`);
  const { exitCode, stdout, stderr } = await bench.gantry('run', '--config', config, 'nightly', '--json');
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(jsonLines(stdout).at(-1)).toMatchObject({
    policies: [{ outcome: 'done', instances: [{ name: NAME, source: 'libvirt:', state: 'exported' }] }],
  });
}, 120_000);

test('after its loss it is imported, defined and started, and answers', async () => {
  await using source = await openSource('libvirt:');
  const { manager } = source;
  if (manager === undefined) throw new Error('libvirt: only describes');
  const { native } = await describeFrom(source, NAME);
  await manager.stop(NAME, { timeoutMs: 60_000 });
  await manager.undefine(NAME);
  for (const name of ['a.img', 'b.qcow2']) await rm(bench.file(name));

  const file = await bench.describeInstance(NAME, { disks: ['new-a.img', 'new-b.img'] });
  for (const name of ['new-a.img', 'new-b.img']) {
    await makeDisk(name, '');
    await truncate(bench.file(name), DISK_BYTES);
  }
  expect(await bench.gantry('import', bench.store, exported, '--to', file)).toMatchObject({ exitCode: 0 });
  await using files = await openSource(bench.path);
  const { instance } = await describeFrom(files, NAME);
  const request = { instance, native, newIdentity: false };
  await manager.checkDefine(request);
  const defined = await manager.define(request);
  await guest.log();
  await manager.start(defined);
  await guest.says(/vda says: first disk/);
  await guest.says(/vdb says: second disk/);
  await guest.says(/ready/);
  await guest.tell('are you there?');
  await guest.says(/answer: are you there\?/);
}, 240_000);
