import { GantryError } from '../report/errors.ts';
import type { Disk, Instance, Nic, Parameters } from '../instances/model.ts';
import { parameterVariables } from '../instances/parameter-variables.ts';
import type { OsParameters } from '../instances/parameter-variables.ts';
import type { SelectedOs } from './select.ts';

/** All that a script gets, and nothing else. */
export type Environment = Readonly<Record<string, string>>;

/**
 * The number of the descriptor that an export script may write the expected size to. One digit: dash knows no more in `>&N`. Ganeti
 * gives one to import scripts too, so those may write there although nobody reads it.
 */
const EXP_SIZE_FD = 3;

/** As Ganeti sets it for hooks and OS scripts. */
const PATH = '/sbin:/bin:/usr/sbin:/usr/bin';

/** What Ganeti's import-export daemon sets besides, so that messages and sorting are everywhere the same. */
const TRANSFER_VARIABLES: readonly Variable[] = [
  ['EXP_SIZE_FD', String(EXP_SIZE_FD)],
  ['LC_ALL', 'C'],
];

/** What stands for a disk in an export: its snapshot, or itself. */
export interface ExportView {
  /** Absent only for a disk that has a URI alone. */
  readonly path?: string | undefined;
  readonly uri?: string | undefined;
}

export interface EnvironmentOptions {
  /** `DEBUG_LEVEL` 1 instead of 0. */
  readonly debug?: boolean | undefined;
}

/*
 * One function an operation; what is absent is not there, rather than empty. All throw GantryError `OS_PARAMETER` where two
 * parameters come out as one variable, and `INSTANCE_INVALID` where a name or value cannot stand in an environment.
 */

/** What `create` gets. `reinstall`: an existing instance is installed anew. */
export function createEnvironment(
  os: SelectedOs,
  instance: Instance,
  o: EnvironmentOptions & { readonly reinstall?: boolean | undefined },
): Environment {
  return build([...commonVariables(os, instance, o), ['INSTANCE_REINSTALL', o.reinstall === true ? '1' : undefined]]);
}

/** What `rename` gets; `instance` bears the new name already. */
export function renameEnvironment(os: SelectedOs, instance: Instance, o: EnvironmentOptions & { readonly oldName: string }): Environment {
  return build([...commonVariables(os, instance, o), ['OLD_INSTANCE_NAME', o.oldName]]);
}

/** What `export` gets for the disk with that index. The snapshot shows in the `EXPORT_` variables alone. */
export function exportEnvironment(
  os: SelectedOs,
  instance: Instance,
  o: EnvironmentOptions & { readonly index: number; readonly view: ExportView },
): Environment {
  return build([
    ...commonVariables(os, instance, o),
    ['EXPORT_INDEX', String(o.index)],
    ['EXPORT_DEVICE', o.view.path],
    ['EXPORT_DISK_PATH', o.view.path],
    ['EXPORT_DISK_URI', o.view.uri],
    ...TRANSFER_VARIABLES,
  ]);
}

/** What `import` gets for the disk with that index. */
export function importEnvironment(os: SelectedOs, instance: Instance, o: EnvironmentOptions & { readonly index: number }): Environment {
  const disk = instance.disks[o.index];
  return build([
    ...commonVariables(os, instance, o),
    ['IMPORT_INDEX', String(o.index)],
    ['IMPORT_DEVICE', disk?.path],
    ['IMPORT_DISK_PATH', disk?.path],
    ['IMPORT_DISK_URI', disk?.uri],
    ...TRANSFER_VARIABLES,
  ]);
}

/** What `verify` gets: what every script gets, as far as it is known; without an instance, that is the definition and the parameters. */
export function verifyEnvironment(
  os: SelectedOs,
  parameters: OsParameters,
  o: EnvironmentOptions & { readonly instance?: Instance | undefined },
): Environment {
  return build([...osVariables(os, parameters, o), ...(o.instance === undefined ? [] : instanceVariables(o.instance))]);
}

type Variable = readonly [name: string, value: string | undefined];

function commonVariables(os: SelectedOs, instance: Instance, o: EnvironmentOptions): Variable[] {
  return [...osVariables(os, instance, o), ...instanceVariables(instance)];
}

function osVariables(os: SelectedOs, parameters: OsParameters, o: EnvironmentOptions): Variable[] {
  const { name, apiVersion } = os.definition;
  return [
    ['PATH', PATH],
    ['OS_API_VERSION', String(apiVersion)],
    ['OS_NAME', name],
    ['INSTANCE_OS', os.fullName],
    ['OS_VARIANT', apiVersion >= 15 ? os.variant : undefined],
    ['DEBUG_LEVEL', o.debug === true ? '1' : '0'],
    ...(apiVersion >= 20 ? parameterVariables(parameters) : []),
  ];
}

function instanceVariables(instance: Instance): Variable[] {
  return [
    ['INSTANCE_NAME', instance.name],
    ['INSTANCE_UUID', known(instance.uuid)],
    ['INSTANCE_PRIMARY_NODE', instance.primary_node],
    // Empty where there are none, as under Ganeti: scripts with "set -u" rely on it.
    ['INSTANCE_SECONDARY_NODES', instance.secondary_nodes.join(' ')],
    ['HYPERVISOR', instance.hypervisor],
    ['DISK_COUNT', String(instance.disks.length)],
    ...instance.disks.flatMap((disk, index) => diskVariables(`DISK_${String(index)}_`, disk)),
    ['NIC_COUNT', String(instance.nics.length)],
    ...instance.nics.flatMap((nic, index) => nicVariables(`NIC_${String(index)}_`, nic)),
    ...prefixed('INSTANCE_BE_', instance.beparams),
    ...prefixed('INSTANCE_HV_', instance.hvparams),
  ];
}

function diskVariables(prefix: string, disk: Disk): Variable[] {
  return [
    [`${prefix}PATH`, disk.path],
    [`${prefix}URI`, disk.uri],
    [`${prefix}ACCESS`, disk.access],
    [`${prefix}SIZE`, disk.size === undefined ? undefined : String(disk.size)],
    [`${prefix}UUID`, known(disk.uuid)],
    [`${prefix}NAME`, known(disk.name)],
    [`${prefix}FRONTEND_TYPE`, known(disk.frontend_type)],
    [`${prefix}BACKEND_TYPE`, disk.backend_type],
  ];
}

function nicVariables(prefix: string, nic: Nic): Variable[] {
  const { network } = nic;
  return [
    [`${prefix}MAC`, nic.mac],
    [`${prefix}IP`, known(nic.ip)],
    [`${prefix}MODE`, nic.mode],
    [`${prefix}LINK`, nic.link],
    [`${prefix}BRIDGE`, nic.mode === 'bridged' ? nic.link : undefined],
    [`${prefix}UUID`, known(nic.uuid)],
    [`${prefix}NAME`, known(nic.name)],
    [`${prefix}FRONTEND_TYPE`, known(nic.frontend_type)],
    [`${prefix}NETWORK_NAME`, known(network?.name)],
    [`${prefix}NETWORK_UUID`, known(network?.uuid)],
    [`${prefix}NETWORK_SUBNET`, known(network?.subnet)],
    [`${prefix}NETWORK_GATEWAY`, known(network?.gateway)],
    [`${prefix}NETWORK_SUBNET6`, known(network?.subnet6)],
    [`${prefix}NETWORK_GATEWAY6`, known(network?.gateway6)],
    [`${prefix}NETWORK_MAC_PREFIX`, known(network?.mac_prefix)],
    [`${prefix}NETWORK_TAGS`, known(network?.tags.join(' '))],
  ];
}

function prefixed(prefix: string, parameters: Parameters): Variable[] {
  return Object.entries(parameters).map(([name, value]) => [`${prefix}${name}`, value]);
}

/** An empty value says no more than an absent one. */
function known(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** The last look before the kernel's: it takes neither a NUL nor a name with `=` in it. */
function build(variables: readonly Variable[]): Environment {
  const environment: Record<string, string> = {};
  for (const [name, value] of variables) {
    if (value === undefined) continue;
    if (/[=\0]/.test(name)) throw unfit(`${JSON.stringify(name)} cannot be the name of an environment variable`);
    if (value.includes('\0')) throw unfit(`the value for the script's variable ${name} holds a NUL character`);
    environment[name] = value;
  }
  return environment;
}

function unfit(message: string): GantryError {
  return new GantryError('INSTANCE_INVALID', { message, hint: 'Correct it in the description of the instance.' });
}
