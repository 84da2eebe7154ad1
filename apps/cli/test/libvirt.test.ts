import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { openInstanceSource } from '@gantry/config';
import type { InstanceSource } from '@gantry/core/inventory';
import type { LibvirtGuest, Libvirtd } from '@gantry/testkit';
import { ALL_VARIANTS, defineLibvirtGuest, startLibvirtd, startSshServer } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blockOf, shellBlocks } from './documented-blocks.ts';
import type { Workbench } from './workbench.ts';
import { environmentOfPages, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

/*
 * A guest of a real libvirtd is exported while it runs, lost with its disks and its domain, and comes back from the store: what was qcow2 is
 * raw then. All of that as docs/how-to/restore-a-libvirt-guest.md has it. The tests depend on those before them.
 */

const NAME = 'web1.example.com';
const DISK_BYTES = 4 * 1024 * 1024;
const PAGE = 'restore-a-libvirt-guest';

let scope: AsyncDisposableStack;
let libvirtd: Libvirtd;
let bench: Workbench;
let guest: LibvirtGuest;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  scope = new AsyncDisposableStack();
  libvirtd = scope.use(await startLibvirtd());
  bench = scope.use(await makeWorkbench({ LIBVIRT_DEFAULT_URI: libvirtd.uri }));
  await execa('qemu-img', ['convert', '-O', 'qcow2', await makeDisk('b.img', 'second disk\n'), bench.file('b.qcow2')]);
  const disks = [{ file: await makeDisk('a.img', 'first disk\n') }, { file: bench.file('b.qcow2'), format: 'qcow2' as const }];
  const elements = `<metadata><g:instance xmlns:g='urn:gantry:instance'><g:tag>prod</g:tag></g:instance></metadata>`;
  guest = await defineLibvirtGuest(libvirtd, { name: NAME, disks, does: 'answers', elements });
  await writeFile(bench.file('snapshot.yaml'), `libvirt: { scratch: ${bench.path}, socket: ${bench.path}, reserve: 64 }\n`);
  const own = { LIBVIRT_DEFAULT_URI: libvirtd.uri, GANTRY_SNAPSHOT_CONFIG: bench.file('snapshot.yaml') };
  env = { ...(await environmentOfPages(bench)), ...own };
  await bench.gantry('store', 'init', bench.store);
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

/** What the page has, with the names and directories of the test. */
function adapted(text: string): string {
  return text
    .replaceAll('/srv/exports', bench.store)
    .replaceAll('/var/lib/libvirt/images', bench.path)
    .replaceAll(/\bweb1(?![.\w-])/g, NAME);
}

async function follow(block: string): Promise<string> {
  return (await execa('bash', ['-euc', adapted(block)], { cwd: bench.path, env, stdin: 'ignore' })).stdout;
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
  const [block] = await shellBlocks(PAGE, 5);
  const exported = lastLine(await follow(block));
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
  await manager.stop(NAME, { timeoutMs: 60_000 });
  await manager.undefine(NAME);
  for (const name of ['a.img', 'b.qcow2']) await rm(bench.file(name));

  const [, prepare, importing] = await shellBlocks(PAGE, 5);
  // The page has a guest with one disk.
  const second = bench.file('web1-new-b.img');
  expect(await follow(prepare)).toMatch(/4\.00 MiB[^]*4\.00 MiB/);
  await makeDisk('web1-new-b.img', '');
  await writeFile(bench.file('web1.yaml'), `${adapted(await blockOf(PAGE, 'yaml'))}  - path: ${second}\n`);
  await follow(importing);
  expect(await libvirtd.virsh('domstate', NAME)).toContain('running');
  await libvirtd.virsh('destroy', NAME);
  await guest.log();
  await libvirtd.virsh('start', NAME);
  await guest.says(/vda says: first disk/);
  await guest.says(/vdb says: second disk/);
  await guest.says(/ready/);
  await guest.tell('are you there?');
  await guest.says(/answer: are you there\?/);
}, 240_000);

test('a copy of it is defined and started by hand', async () => {
  await libvirtd.virsh('destroy', NAME);
  const [, , , native, define] = await shellBlocks(PAGE, 5);
  await follow(native);
  const [disk, files] = [adapted(await blockOf(PAGE, 'xml')), [bench.file('web1-new.img'), bench.file('web1-new-b.img')]];
  const xml = await readFile(bench.file('domain.xml'), 'utf8');
  const copy = xml
    .replaceAll(/<disk [^]*?<\/disk>/g, () =>
      disk.replace(/file='[^']*'/, `file='${files.shift()}'`).replace('vda', files.length === 1 ? 'vda' : 'vdb'),
    )
    .replace(`<name>${NAME}</name>`, '<name>web2.example.com</name>')
    .replaceAll(/<uuid>.*<\/uuid>|<mac .*\/>|<nvram.*<\/nvram>/g, '');
  await writeFile(bench.file('domain.xml'), copy);
  await follow(define.replace('web1', 'web2.example.com'));
  expect(await libvirtd.virsh('domblklist', 'web2.example.com')).toMatch(/vda +\S+web1-new\.img\s+vdb +\S+web1-new-b\.img/);
  expect(await libvirtd.virsh('domstate', 'web2.example.com')).toContain('running');
  await libvirtd.virsh('destroy', 'web2.example.com');
});

test.skipIf(!ALL_VARIANTS)(
  'it moves to another host with all that libvirt knows of it, as the page about moves says',
  async () => {
    await libvirtd.virsh('start', NAME);
    await guest.says(/ready/);
    await using other = await startLibvirtd();
    const theirs = [`PATH=${env['PATH']}`, `LIBVIRT_DEFAULT_URI=${other.uri}`, `GANTRY_STATE_DIR=${bench.file('state-there')}`];
    await using server = await startSshServer({ config: [`SetEnv SHLVL=1 ${theirs.join(' ')}`] });
    const disks = [await makeDisk('there-a.img', ''), await makeDisk('there-b.img', '')];
    // As large as the one that the other page makes.
    await truncate(bench.file('there-a.img'), 20 * 1024 ** 3);
    const file = await bench.describeInstance(NAME, { disks });
    const [, , , move] = await shellBlocks('move-to-another-node', 5);
    await follow(move.replace('ssh://node2.example.com', `'${server.address('')}'`).replace('/etc/gantry/web1.yaml', file));
    expect(await libvirtd.virsh('list', '--all', '--name')).not.toContain(NAME);
    expect(await other.virsh('domstate', NAME)).toContain('running');
    expect(await other.virsh('domblklist', NAME)).toMatch(/there-a\.img[^]*there-b\.img/);
    for (const [index, from] of ['web1-new.img', 'web1-new-b.img'].entries())
      await execa('cmp', ['--bytes', String(DISK_BYTES), disks[index] ?? '', bench.file(from)]);
  },
  600_000,
);
