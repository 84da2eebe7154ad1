import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { GanetiCluster, GanetiNode } from '@gantry/testkit';
import { beforeAll, expect, test } from 'vitest';
import { gantryIn, succeeded } from './in-node.ts';

/** A definition whose scripts keep their environment in a directory beside them. */
const PROBE = fileURLToPath(new URL('probe', import.meta.url));
const HOME = '/srv/ganeti/os/probe';
const STORE = '/srv/probe-store';
const ORIGINAL = 'inst21.example.com';
const COPY = 'inst22.example.com';
const ADD = ['-t', 'file', '-n', 'node1.example.com', '--no-ip-check', '--no-name-check'] as const;

type Environment = Readonly<Record<string, string>>;

/** What the shells of Ganeti's import-export daemon add, and what Gantry does not know (docs/reference/os-definitions.md). */
const ONLY_GANETI: ReadonlySet<string> = new Set('HOME OLDPWD PWD SHLVL TERM _ INSTANCE_CTIME INSTANCE_MTIME'.split(' '));

/** Scripts get the same from Gantry, which describes the instance through LUXI, as they got from Ganeti: to the byte. */
export function environmentSuite(cluster: () => GanetiCluster): void {
  const ofGaneti = new Map<string, Environment>();

  beforeAll(async () => {
    const { master, other } = cluster();
    for (const node of [master, other]) await node.run('cp', '-r', PROBE, HOME);
  });

  test('of create', async () => {
    const { master } = cluster();
    await addInstance(master);
    await keep('create.x');
    succeeded(await gantryIn(master, 'create', `ganeti:${ORIGINAL}`));
    await expectSame('create.x');
  });

  test('of export and import, for each disk', async () => {
    const { master } = cluster();
    await master.run('gnt-instance', 'modify', '--disk=1:mode=ro', ORIGINAL);
    await master.run('gnt-backup', 'export', '-n', 'node1.example.com', ORIGINAL);
    const from = ['--src-node=node1.example.com', `--src-dir=/var/lib/ganeti/export/${ORIGINAL}`];
    await master.run('gnt-backup', 'import', ...ADD, '--net=0:mac=generate', '--net=1:ip=none', ...from, COPY);
    await keep('export.0', 'export.1', 'import.0', 'import.1', 'rename.x');

    succeeded(await gantryIn(master, 'export', `ganeti:${ORIGINAL}`, STORE));
    succeeded(await gantryIn(master, 'import', STORE, ORIGINAL, '--to', `ganeti:${COPY}`));
    for (const name of ['export.0', 'export.1', 'import.0', 'import.1']) await expectSame(name);
  });

  test('of rename, which Ganeti runs after an import under another name', async () => {
    const { master } = cluster();
    const { stdout } = succeeded(await gantryIn(master, 'describe', '--with-private', `ganeti:${COPY}`));
    await writeFile(master.path('/srv/copy.yaml'), stdout.replace(`name: ${COPY}`, `name: ${ORIGINAL}`), { mode: 0o600 });
    succeeded(await gantryIn(master, 'rename', '/srv/copy.yaml', COPY));
    await expectSame('rename.x');
  });

  async function keep(...names: readonly string[]): Promise<void> {
    const { master } = cluster();
    for (const name of names) ofGaneti.set(name, await readEnvironment(master, name));
    await master.run('rm', '-r', `${HOME}/environments`);
  }

  async function expectSame(name: string): Promise<void> {
    expect(ordered(await readEnvironment(cluster().master, name)), name).toEqual(expected(ofGaneti.get(name) ?? {}));
  }
}

function expected(ofGaneti: Environment): Environment {
  const shared = Object.entries(ofGaneti).filter(([name]) => !ONLY_GANETI.has(name));
  return ordered({
    ...Object.fromEntries(shared),
    // Its UUID in Ganeti 3.0, its name in others.
    INSTANCE_PRIMARY_NODE: 'node1.example.com',
    ...('EXP_SIZE_FD' in ofGaneti ? { EXP_SIZE_FD: '3' } : {}),
  });
}

/** Ganeti keeps tags as a set: their order changes. */
function ordered(environment: Environment): Environment {
  const isTags = (name: string): boolean => name.endsWith('_NETWORK_TAGS');
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, isTags(name) ? value.split(' ').toSorted().join(' ') : value]),
  );
}

async function addInstance(master: GanetiNode): Promise<void> {
  const nics = ['--net=0:link=br0', '--net=1:network=lan78,ip=10.78.0.77,name=back'];
  const parameters = ['-O', 'filesystem=xfs,boot-size=010', '--os-parameters-private', 'token=s3cr3t'];
  const rest = ['--no-start', '-H', 'kvm', '-B', 'maxmem=256,minmem=128,vcpus=2', '-o', 'probe+fancy'];
  const disks = ['--disk=0:size=8M,name=root', '--disk=1:size=4M'];
  await master.run('gnt-instance', 'add', ...ADD, ...disks, ...nics, ...parameters, ...rest, ORIGINAL);
}

async function readEnvironment(node: GanetiNode, name: string): Promise<Environment> {
  const text = await readFile(node.path(`${HOME}/environments/${name}`), 'utf8');
  const variables = text.split('\0').filter((variable) => variable !== '');
  return Object.fromEntries(
    variables.map((variable) => [variable.slice(0, variable.indexOf('=')), variable.slice(variable.indexOf('=') + 1)]),
  );
}
