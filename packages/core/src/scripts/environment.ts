import { GantryError } from '../report/errors.ts';
import type { Disk, Instance, Nic, Parameters } from '../instances/model.ts';
import { parameterVariables } from '../instances/parameter-variables.ts';
import type { OsParameters } from '../instances/parameter-variables.ts';
import type { SelectedOs } from './select.ts';

/** The complete environment of a script. */
export type Environment = Readonly<Record<string, string>>;

/**
 * The number of the descriptor that an export script may write the expected size to. One digit, because dash supports only one in
 * `>&N`. Ganeti gives import scripts one too, so those may write there although nobody reads it.
 */
const EXP_SIZE_FD = 3;

/** The PATH that Ganeti sets for hooks and OS scripts. */
const PATH = '/sbin:/bin:/usr/sbin:/usr/bin';

/** Further variables that Ganeti's import-export daemon sets, so that messages and sorting are the same everywhere. */
const TRANSFER_VARIABLES: readonly Variable[] = [
  ['EXP_SIZE_FD', String(EXP_SIZE_FD)],
  ['LC_ALL', 'C'],
];

/** What an export reads for a disk: its snapshot, or the disk itself. */
export interface ExportView {
  /** Absent only for a disk that has only a URI. */
  readonly path?: string | undefined;
  readonly uri?: string | undefined;
}

export interface EnvironmentOptions {
  /** `DEBUG_LEVEL` 1 instead of 0. */
  readonly debug?: boolean | undefined;
}

/*
 * One function for each operation. Variables for absent values are not set, rather than empty. All functions throw GantryError
 * `OS_PARAMETER` where two parameters have the same variable, and `INSTANCE_INVALID` where a name or value is not possible in an environment.
 */

/** The environment of `create`. `reinstall`: an existing instance is reinstalled. */
export function createEnvironment(
  os: SelectedOs,
  instance: Instance,
  o: EnvironmentOptions & { readonly reinstall?: boolean | undefined },
): Environment {
  return build([...commonVariables(os, instance, o), ['INSTANCE_REINSTALL', o.reinstall === true ? '1' : undefined]]);
}

/** The environment of `rename`; `instance` already has the new name. */
export function renameEnvironment(os: SelectedOs, instance: Instance, o: EnvironmentOptions & { readonly oldName: string }): Environment {
  return build([...commonVariables(os, instance, o), ['OLD_INSTANCE_NAME', o.oldName]]);
}

/** The environment of `export` for the disk with that index. Only the `EXPORT_` variables refer to the snapshot. */
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

/** The environment of `import` for the disk with that index. */
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

/** The environment of `verify`: what every script gets, as far as known. Without an instance, that is the definition and the parameters. */
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
    // Set even if empty, as under Ganeti: scripts with "set -u" rely on it.
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

/** An empty value means the same as an absent one. */
function known(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

/** Refuses what the kernel cannot pass on: a NUL, or a name with `=` in it. */
function build(variables: readonly Variable[]): Environment {
  const environment: Record<string, string> = {};
  for (const [name, value] of variables) {
    if (value === undefined) continue;
    if (/[=\0]/.test(name)) throw unfit(`${JSON.stringify(name)} cannot be the name of an environment variable`);
    if (value.includes('\0')) throw unfit(`the value of the script's variable ${name} contains a NUL character`);
    environment[name] = value;
  }
  return environment;
}

function unfit(message: string): GantryError {
  return new GantryError('INSTANCE_INVALID', { message, hint: 'Correct it in the description of the instance.' });
}
