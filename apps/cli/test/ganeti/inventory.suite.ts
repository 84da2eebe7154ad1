import process from 'node:process';
import type { GanetiCluster, GanetiNode } from '@gantry/testkit';
import { beforeAll, expect, test } from 'vitest';
import type { Outcome } from '../workbench.ts';
import { jsonLines, MAIN } from '../workbench.ts';
import { CHECKOUT, gantryIn, runIn, succeeded } from './in-node.ts';

const NAME = 'inst30.example.com';
const STORE = '/srv/inventory-exports';
const TRUSTED = '/root/rapi.pem';
const CONFIG = '/root/policy.yaml';
const POLICY = `stores: { local: { url: ${STORE} } }
policies: { nightly: { instances: [{ source: 'ganeti:', names: [inst30*] }], stores: local, retention: { last: 2 } } }
`;

/** Instances by their name in the cluster, where their disks are, and where they are not. */
export function inventorySuite(cluster: () => GanetiCluster): void {
  beforeAll(async () => {
    const { master, other } = cluster();
    for (const node of [master, other])
      await node.run('cp', '-r', '--no-target-directory', `${CHECKOUT}/apps/cli/os/raw`, '/srv/ganeti/os/raw');
    const options = ['-t', 'file', '--disk', '0:size=4M', '-o', 'raw', '-H', 'fake', '-n', master.name];
    await master.run('gnt-instance', 'add', ...options, '--no-install', '--no-start', '--no-ip-check', '--no-name-check', NAME);
  });

  test('on the master: listed, described, exported, imported, but not while it runs', async () => {
    const { master } = cluster();
    expect(succeeded(await gantryIn(master, 'instances', 'ganeti:', 'inst30*')).stdout).toContain(NAME);
    const described = succeeded(await gantryIn(master, 'describe', 'ganeti:inst30', '--json'));
    expect(jsonLines(described.stdout)).toMatchObject([{ instance: { name: NAME }, run: { state: 'stopped' }, disksOn: master.name }]);
    succeeded(await gantryIn(master, 'export', `ganeti:${NAME}`, STORE));
    succeeded(await gantryIn(master, 'import', STORE, NAME, '--to', 'ganeti:inst30'));
    await master.run('sh', '-ec', `umask 077; cat >${CONFIG} <<'END'\n${POLICY}END`);
    const run = succeeded(await gantryIn(master, 'run', '--config', CONFIG, 'nightly', '--json'));
    expect(jsonLines(run.stdout).at(-1)).toMatchObject({ policies: [{ outcome: 'done', instances: [{ name: NAME, state: 'exported' }] }] });
    await master.run('gnt-instance', 'start', NAME);
    const refused = await gantryIn(master, 'import', STORE, NAME, '--to', 'ganeti:inst30');
    expect(refused).toMatchObject({ exitCode: 10, stderr: expect.stringContaining(`the instance runs on ${master.name}, says ganeti:`) });
    await master.run('gnt-instance', 'stop', NAME);
  });

  test('on another node: through RAPI of the master, once its certificate is trusted; its disks are not touched', async () => {
    const { master, other } = cluster();
    expect(await gantryIn(other, 'describe', 'ganeti:inst30')).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(/the certificate of RAPI at node1\.example\.com:5080 is not trusted: .*\[INVENTORY_DENIED\]/),
    });
    await other.run('sh', '-ec', `umask 077; openssl x509 -in /var/lib/ganeti/rapi.pem >${TRUSTED}`);
    expect(succeeded(await trusting(other, 'describe', 'ganeti:inst30')).stdout).toContain(`# ${NAME} of ganeti:: stopped`);
    expect(await trusting(other, 'create', 'ganeti:inst30')).toMatchObject({
      exitCode: 5,
      stderr: expect.stringContaining(
        `the disks of ${NAME} are on ${master.name}, says ganeti:; this is ${other.name} [INSTANCE_ELSEWHERE]`,
      ),
    });
  });
}

async function trusting(node: GanetiNode, ...args: readonly string[]): Promise<Outcome> {
  return await runIn(node, 'env', `GANTRY_GANETI_CA=${TRUSTED}`, process.execPath, MAIN, ...args);
}
