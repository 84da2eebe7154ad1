import { writeFile } from 'node:fs/promises';
import type { InstanceSource } from '@gantry/core/inventory';
import type { GanetiCluster } from '@gantry/testkit';
import { makeTemporaryDirectory, startGanetiCluster } from '@gantry/testkit';
import inventory from '../src/index.ts';
import { openCluster } from '../src/open-cluster.ts';

/** A real cluster of Ganeti 3.0 with its two ways in. */
export interface Lab extends AsyncDisposable {
  readonly cluster: GanetiCluster;
  /** Runs `gnt-instance add` for a stopped instance. */
  add(name: string, ...options: readonly string[]): Promise<void>;
  /** @param env besides the trust in the cluster's certificate */
  openRapi(env?: Readonly<Record<string, string>>): Promise<InstanceSource>;
  /** As root on the master would, whose files this process sees under another path. */
  openLuxi(): Promise<InstanceSource>;
}

/** A secret that an instance has. */
export const TOKEN = 's3cr3t-token';

const OS_DEFINITION = `
for directory in /srv/ganeti/os/probe; do
  mkdir -p $directory
  cd $directory
  echo 20 >ganeti_api_version
  echo fancy >variants.list
  printf '%s\\n' 'boot-size of the boot partition' 'filesystem of the root' 'token for a service' >parameters.list
  for script in create export import rename verify; do printf '#!/bin/sh\\nexit 0\\n' >$script; chmod 755 $script; done
done`;

/** Starts a cluster (about ten seconds) without instances, with the OS definition `probe+fancy`. */
export async function startLab(): Promise<Lab> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await makeTemporaryDirectory());
  const cluster = stack.use(await startGanetiCluster());
  const { master, other, rapi } = cluster;
  for (const node of [master, other]) await node.run('sh', '-ec', OS_DEFINITION);
  const ca = directory.file('rapi.pem');
  await writeFile(ca, rapi.certificate);
  const paths = {
    luxiSocket: cluster.luxi,
    configuration: master.path('/var/lib/ganeti/config.data'),
    masterName: master.path('/var/lib/ganeti/ssconf_master_node'),
    kvmControl: master.path('/run/ganeti/kvm-hypervisor/ctrl'),
  };
  const warn = (): void => undefined;
  const owned = stack.move();
  return {
    cluster,
    async add(name, ...options) {
      const common = ['--os-type=probe+fancy', '--no-start', '--no-install', '--no-ip-check', '--no-name-check', '--no-conflicts-check'];
      await master.run('gnt-instance', 'add', ...common, `--node=${master.name}`, ...options, name);
    },
    openRapi: async (env = {}) =>
      await inventory.open(new URL(`ganeti://localhost:${rapi.port}`), { env: { GANTRY_GANETI_CA: ca, ...env }, warn }),
    openLuxi: async () => await openCluster(new URL('ganeti:'), { env: {}, warn }, { here: master.name, paths }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
