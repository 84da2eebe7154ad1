import { hostname } from 'node:os';
import type { InstanceSource, OpenInventoryOptions } from '@gantry/core/inventory';
import type { ClusterAddress } from './address.ts';
import { parseClusterAddress } from './address.ts';
import { RapiCluster } from './clusters/rapi-cluster.ts';
import { readPrivateParameters } from './describe/private-parameters.ts';
import { GanetiSource } from './ganeti-source.ts';
import type { NodePaths } from './local-cluster.ts';
import { findLocalCluster, NODE_PATHS } from './local-cluster.ts';
import { findCredentials } from './rapi/credentials.ts';
import { RapiClient } from './rapi/rapi-client.ts';
import { findTrust } from './rapi/trust.ts';
import { GanetiTransfers } from './remote/transfers.ts';

/** ms that an answer of RAPI or LUXI may take; Ganeti itself gives luxid 60 s. */
const ANSWER_TIMEOUT_MS = 65_000;

/** What a test puts in the place of this machine. */
export interface Machine {
  readonly here: string;
  readonly paths: NodePaths;
}

/** @throws InventoryError */
export async function openCluster(
  url: URL,
  options: OpenInventoryOptions,
  { here, paths }: Machine = { here: hostname(), paths: NODE_PATHS },
): Promise<InstanceSource> {
  const address = parseClusterAddress(url);
  const common = { address: url.href, here, controlDirectory: paths.kvmControl };
  if (address.host === undefined) {
    const local = await findLocalCluster(paths, here, ANSWER_TIMEOUT_MS, options);
    if (local.kind === 'luxi') {
      return new GanetiSource({
        ...common,
        cluster: local.cluster,
        privateParameters: async (uuid, call) => await readPrivateParameters(paths.configuration, uuid, call),
      });
    }
    const cluster = new RapiCluster(await openRapi({ ...address, host: local.master }, options));
    return new GanetiSource({ ...common, cluster, privateParameters: undefined });
  }
  const { host, port } = address;
  const client = await openRapi({ ...address, host }, options);
  const transfers = new GanetiTransfers({ client, host, port, env: options.env });
  return new GanetiSource({ ...common, cluster: new RapiCluster(client), privateParameters: undefined, transfers });
}

/** A client of RAPI at an address with a host; sends nothing yet. @throws InventoryError `denied` */
async function openRapi(
  { host, port, user, options }: ClusterAddress & { readonly host: string },
  { env }: Pick<OpenInventoryOptions, 'env'>,
): Promise<RapiClient> {
  const credentials = await findCredentials({ host, user, file: options.credentials, env });
  const trust = await findTrust({ ca: options.ca, fingerprints: options.fingerprints, env });
  return new RapiClient({ host, port, trust, credentials, timeoutMs: ANSWER_TIMEOUT_MS });
}
