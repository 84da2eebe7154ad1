import { hostname } from 'node:os';
import type { Instance, Nic, NicMode } from '../instances/model.ts';
import type { InstanceOverrides, OverrideOptions } from '../instances/override-instance.ts';
import { overrideInstance } from '../instances/override-instance.ts';
import { GantryError } from '../report/errors.ts';
import type { ConfigDescription, ConfigNic } from './config-import.ts';
import type { StoredDump, StoredExport } from './open-export.ts';

/*
 * What an export says of its instance, as far as another one can be made from it.
 */

const MIB = 1024 * 1024;
const MODES: ReadonlySet<string> = new Set(Object.keys({ bridged: 1, routed: 1, openvswitch: 1, ext: 1 } satisfies Record<NicMode, 1>));

/**
 * The exported instance, with the sizes of all disks. Every disk must have a dump: a new disk without its data would look like one that
 * was restored.
 *
 * @param plainBytes of the dumps, by disk, where known
 * @throws GantryError `DUMP_MISSING`, `DISK_UNKNOWN`
 */
export function exportedInstance(found: StoredExport, plainBytes: ReadonlyMap<number, number | undefined>): Instance {
  const instance = describedInstance(found);
  const dumps = new Map(found.dumps.map((dump) => [dump.index, dump]));
  const missing = instance.disks.findIndex((_, index) => !dumps.has(index));
  if (missing !== -1 || instance.disks.length === 0) {
    throw new GantryError('DUMP_MISSING', {
      message: missing === -1 ? `${found.reference} has no disks` : `${found.reference} has no dump of disk ${missing}`,
      hint: 'A new instance is made from an export of all disks; use one of those.',
    });
  }
  const disks = instance.disks.map((disk, index) => ({ ...disk, size: sizeOf(found, dumps.get(index), disk.size, plainBytes.get(index)) }));
  return { ...instance, disks };
}

/**
 * The instance as the export describes it. Private OS parameters are there only if they were exported. What Ganeti made says nothing of
 * the paths of disks.
 */
export function describedInstance({ manifest, config }: Pick<StoredExport, 'manifest' | 'config'>): Instance {
  const instance = manifest?.instance ?? (config === undefined ? undefined : instanceOf(config));
  if (instance === undefined) throw new TypeError('an export has a manifest or a config.ini');
  return instance;
}

/**
 * The exported instance as one of this host, with what the caller says of it. Under another name it is another instance: it does not get
 * the UUIDs.
 *
 * @throws GantryError `INSTANCE_INVALID`, also for a disk whose path neither the export nor the caller says; `DISK_UNKNOWN`
 */
export function restoredInstance(
  found: Pick<StoredExport, 'manifest' | 'config' | 'reference'>,
  overrides: InstanceOverrides,
  { baseDirectory }: Pick<OverrideOptions, 'baseDirectory'>,
): Instance {
  const described = describedInstance(found);
  const instance = overrides.name === undefined || overrides.name === described.name ? described : withoutUuids(described);
  const here = { ...instance, primary_node: hostname(), secondary_nodes: [] };
  return overrideInstance(here, overrides, { baseDirectory, source: `${found.reference} with these options` });
}

function withoutUuids({ uuid: _uuid, disks, nics, ...instance }: Instance): Instance {
  return {
    ...instance,
    disks: disks.map(({ uuid: _uuid, ...disk }) => disk),
    nics: nics.map(({ uuid: _uuid, ...nic }) => nic),
  };
}

/** MiB. A new disk must hold all of an image. */
function sizeOf(
  { reference, os }: StoredExport,
  dump: StoredDump | undefined,
  described: number | undefined,
  bytes: number | undefined,
): number {
  const least = os === 'raw' && bytes !== undefined ? Math.ceil(bytes / MIB) : 0;
  const size = Math.max(dump?.diskSize ?? described ?? 0, least);
  if (size > 0) return size;
  throw new GantryError('DISK_UNKNOWN', {
    message: `${reference} does not say how large disk ${dump?.index ?? ''} was`,
    hint: 'Make the instance by hand, and import into its disks on the host that has them.',
    disk: dump?.index,
  });
}

function instanceOf(config: ConfigDescription): Instance {
  const { instanceName, os, hypervisor, disk_template, tags, osparams, beparams, hvparams } = config;
  return {
    name: instanceName,
    os,
    hypervisor: hypervisor ?? '',
    primary_node: config.source ?? '',
    secondary_nodes: [],
    ...(disk_template === undefined ? {} : { disk_template }),
    tags,
    disks: config.disks.map(({ size, name }) => ({
      access: 'rw',
      ...(size === undefined ? {} : { size }),
      ...(name === undefined ? {} : { name }),
    })),
    nics: config.nics.map(nicOf),
    osparams,
    osparams_private: {},
    beparams,
    hvparams,
  };
}

function nicOf({ mac = '', mode = '', link = '', ip, vlan, name, network }: ConfigNic): Nic {
  return {
    mac,
    mode: isMode(mode) ? mode : 'bridged',
    link,
    ...(ip === undefined ? {} : { ip }),
    ...(vlan === undefined ? {} : { vlan }),
    ...(name === undefined ? {} : { name }),
    ...(network === undefined ? {} : { network: { name: network, tags: [] } }),
  };
}

function isMode(text: string): text is NicMode {
  return MODES.has(text);
}
