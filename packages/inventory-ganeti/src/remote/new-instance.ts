import type { Instance, NewInstanceRequest, Nic, Parameters } from '@gantry/core/inventory';

/*
 * Parameters of the job that makes an instance (OP_INSTANCE_CREATE), from what an export says. Values of parameters are text there, as in
 * Ganeti's own `config.ini`; Ganeti turns them into what they are, as it does for that file.
 */

/** Marks an instance that is not complete. */
export function unfinishedTag(token: string): string {
  return `gantry:unfinished:${token}`;
}

/** Hypervisor parameters of the whole cluster, which no instance may have (`hvcGlobals` in Ganeti's src/Ganeti/Constants.hs). */
const GLOBAL_PARAMETERS: ReadonlySet<string> = new Set(['migration_bandwidth', 'migration_mode', 'migration_port', 'xen_cmd']);

/** Python's str of what has no value; an empty text is one. */
const NO_VALUE = 'None';

export function createParameters({ instance, originalName, nodes, token }: NewInstanceRequest): Readonly<Record<string, unknown>> {
  const { name, os, hypervisor, disk_template, tags, beparams, hvparams, osparams, osparams_private } = instance;
  const [pnode, snode] = nodes;
  return {
    mode: 'remote-import',
    instance_name: name,
    os_type: os,
    ...(hypervisor === '' ? {} : { hypervisor }),
    ...(disk_template === undefined ? {} : { disk_template }),
    ...(pnode === undefined ? {} : { pnode }),
    ...(snode === undefined ? {} : { snode }),
    disks: instance.disks.map(diskOf),
    // The original may go on under its own name, and needs its addresses.
    nics: instance.nics.map((nic) => nicOf(nic, name === originalName)),
    beparams: known(beparams),
    hvparams: Object.fromEntries(Object.entries(known(hvparams)).filter(([key]) => !GLOBAL_PARAMETERS.has(key))),
    osparams,
    osparams_private,
    tags: [...tags, unfinishedTag(token)],
    // What the export has are all parameters that were in force; those that are the cluster's own stay that.
    identify_defaults: true,
    start: false,
    name_check: false,
    ip_check: false,
    compress: 'none',
    source_shutdown_timeout: 0,
  };
}

function known(parameters: Parameters): Parameters {
  return Object.fromEntries(Object.entries(parameters).filter(([, value]) => value !== NO_VALUE));
}

function diskOf({ size = 0, access, name }: Instance['disks'][number]) {
  return { size, mode: access, ...(name === undefined ? {} : { name }) };
}

function nicOf({ mac, ip, mode, link, vlan, name, network }: Nic, keepsIdentity: boolean) {
  return {
    mac: keepsIdentity && mac !== '' ? mac : 'generate',
    ...(keepsIdentity && ip !== undefined ? { ip } : {}),
    ...(name === undefined ? {} : { name }),
    // A network has a mode and a link of its own.
    ...(network === undefined
      ? { mode, ...(link === '' ? {} : { link }), ...(vlan === undefined ? {} : { vlan }) }
      : { network: network.name }),
  };
}
