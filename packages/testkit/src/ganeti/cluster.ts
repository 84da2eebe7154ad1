import { mkdir, readFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import type { CommandLine } from '../processes/entered-system.ts';
import { Namespaces } from '../processes/namespaces.ts';
import { ganetiBase, LAB } from './base.ts';
import type { GanetiNode } from './node.ts';
import { findNodes } from './node.ts';
import { startRelay } from '../servers/relay.ts';

export type { GanetiNode } from './node.ts';

export interface GanetiClusterOptions {
  /** Host directories that the nodes see under the same path, read-only. */
  readonly shares?: readonly string[];
}

/** Where a cluster answers RAPI. */
export interface GanetiRapi {
  /** A port of 127.0.0.1 that leads to it. */
  readonly port: number;
  /** Inside the cluster's network. */
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** Its self-signed certificate, PEM. */
  readonly certificate: string;
}

/**
 * A real cluster of two nodes, `gnt.example.com`: Ganeti 3.0 with the hypervisors `fake` and `kvm` (the host's QEMU, emulated), the disk
 * templates `file`, `sharedfile` and `diskless`, and the network `lan78`. It knows `inst1.example.com` to `inst99.example.com` by name.
 */
export interface GanetiCluster extends AsyncDisposable {
  readonly master: GanetiNode;
  readonly other: GanetiNode;
  /** What comes before a command of the host to run it in the cluster's network, where its address is {@link address}. */
  readonly enter: CommandLine;
  readonly address: string;
  readonly rapi: GanetiRapi;
  /** The master's socket for LUXI, as this process sees it. */
  readonly luxi: string;
}

const MASTER_ADDRESS = '10.77.0.10';
const HOST_ADDRESS = '10.77.0.1';

/**
 * Starts a cluster (about ten seconds); what it starts from is made first if it does not exist. All of it is in namespaces without names,
 * in memory, and ends with this process. Needs root.
 */
export async function startGanetiCluster({ shares = [] }: GanetiClusterOptions = {}): Promise<GanetiCluster> {
  const base = await ganetiBase();
  await using scope = new AsyncDisposableStack();
  const scratch = scope.use(await makeTemporaryDirectory('gantry-ganeti-'));
  await mkdir(scratch.file('nodes'));
  const line = [LAB, 'start', base, scratch.file('nodes'), ...shares];
  const lab = scope.use(new Namespaces({ what: 'the cluster', alone: ['--net'], line, log: scratch.file('log') }));
  await lab.ready();
  const pid = await lab.firstProcess();
  const [master, other] = await findNodes(pid);
  if (master === undefined || other === undefined) throw new Error('the cluster does not have two nodes');
  const relay = scope.use(await startRelay(master.path('/run/rapi.sock')));
  const certificate = await readFile(master.path('/var/lib/ganeti/rapi.pem'), 'utf8');
  const owned = scope.move();
  return {
    master,
    other,
    enter: ['nsenter', `--net=/proc/${pid}/ns/net`],
    address: HOST_ADDRESS,
    rapi: {
      port: relay.port,
      url: `https://${MASTER_ADDRESS}:5080`,
      user: 'gantry',
      password: 'rapi-secret',
      certificate: certificate.slice(certificate.indexOf('-----BEGIN CERTIFICATE-----')),
    },
    luxi: master.path('/run/ganeti/socket/ganeti-query'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
