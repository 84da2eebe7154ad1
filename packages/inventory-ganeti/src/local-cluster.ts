import { readFile } from 'node:fs/promises';
import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError, isInventoryError, isSameHost } from '@gantry/core/inventory';
import { LuxiCluster } from './clusters/luxi-cluster.ts';
import { LuxiClient } from './luxi/luxi-client.ts';

/** Where Ganeti keeps what is used of a node, as Debian and Ganeti's own packages have it. */
export interface NodePaths {
  /** Socket of luxid, on the master. */
  readonly luxiSocket: string;
  /** The cluster's configuration, on the master. */
  readonly configuration: string;
  /** A file with the name of the master, on every node. */
  readonly masterName: string;
  /** Directory of the control sockets of KVM's guests. */
  readonly kvmControl: string;
}

export const NODE_PATHS: NodePaths = {
  luxiSocket: '/var/run/ganeti/socket/ganeti-query',
  configuration: '/var/lib/ganeti/config.data',
  masterName: '/var/lib/ganeti/ssconf_master_node',
  kvmControl: '/var/run/ganeti/kvm-hypervisor/ctrl',
};

/** The cluster of this node: through LUXI on its master, else the name of the master, where RAPI is. */
export type LocalCluster = { readonly kind: 'luxi'; readonly cluster: LuxiCluster } | { readonly kind: 'node'; readonly master: string };

/**
 * @param here host name of this machine
 * @throws InventoryError `source-not-found` if this is not a node of a cluster, `denied`, `unavailable`
 */
export async function findLocalCluster(
  paths: NodePaths,
  here: string,
  timeoutMs: number,
  { signal }: CallOptions = {},
): Promise<LocalCluster> {
  const client = new LuxiClient({ socket: paths.luxiSocket, timeoutMs });
  try {
    await client.call('QueryConfigValues', [['cluster_name']], { signal });
    return { kind: 'luxi', cluster: new LuxiCluster(client) };
  } catch (error) {
    signal?.throwIfAborted();
    const master = await masterOf(paths.masterName);
    if (master !== undefined && (!isSameHost(master, here) || isInventoryError(error, 'denied'))) return { kind: 'node', master };
    throw isInventoryError(error, 'source-not-found') && master === undefined ? notANode(error) : error;
  }
}

async function masterOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const name = text.trim();
  return /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(name) ? name : undefined;
}

function notANode(cause: unknown): InventoryError {
  return new InventoryError('source-not-found', {
    message: 'this machine is not a node of a Ganeti cluster',
    hint: 'Name the master of the cluster: ganeti://MASTER/NAME',
    cause,
  });
}
