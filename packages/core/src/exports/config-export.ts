import type { Codec } from '../frames/codecs/registry.ts';
import { isStoredPlain } from '../frames/codecs/registry.ts';
import type { Instance, Nic, Parameters } from '../instances/model.ts';
import type { ConfigIni } from './config-ini.ts';
import { renderConfigIni } from './config-ini.ts';
import { mapFileName } from './layout.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { LINEAGE_MANIFEST_VERSION } from './manifest.ts';

/** What Ganeti writes for an unknown value. */
const UNKNOWN = 'None';

/** The version that Ganeti reads (`EXPORT_VERSION` in its lib/constants.py), and one that it refuses with a message. */
const IMPORTABLE_VERSION = '0';
const REFUSED_VERSION = '1';

/** In the place of a codec: what `diskN_dump` names is not a dump, but a frame map. */
const MAPPED = 'frame-map';

/**
 * Hypervisor parameters of the cluster (`hvcGlobals` in Ganeti's src/Ganeti/Constants.hs, all versions from 2.1 to 3.1). `gnt-backup
 * import` refuses an export in which an instance has one.
 */
const GLOBAL_HYPERVISOR_PARAMETERS: ReadonlySet<string> = new Set(['migration_bandwidth', 'migration_mode', 'migration_port', 'xen_cmd']);

/**
 * `config.ini` in Ganeti's form (docs/reference/formats/export-layout.md), made from the manifest, so it has private parameters only if
 * the manifest has them.
 */
export function renderExportConfig(manifest: Manifest): string {
  const { instance } = manifest;
  const config = new Map<string, ReadonlyMap<string, string>>([
    ['export', exportSection(manifest)],
    [
      'instance',
      new Map([
        ...instanceOptions(instance),
        ...instance.nics.flatMap(nicOptions),
        ['nic_count', String(instance.nics.length)],
        ...diskOptions(manifest),
      ]),
    ],
    ['hypervisor', parameterOptions(ofInstance(instance.hvparams))],
    ['backend', parameterOptions(instance.beparams)],
    ['os', parameterOptions(instance.osparams)],
  ]);
  if (Object.keys(instance.osparams_private).length > 0) config.set('os_private', parameterOptions(instance.osparams_private));
  return renderConfigIni(config satisfies ConfigIni);
}

type Option = readonly [key: string, value: string];

function exportSection({ version, ended, instance, dumps }: Manifest): ReadonlyMap<string, string> {
  const codec: Codec = dumps[0]?.codec ?? 'none';
  const hasMaps = version === LINEAGE_MANIFEST_VERSION;
  return new Map([
    // Ganeti does not look at `compression`: it would write compressed bytes to the disk as they are, and report success.
    ['version', isStoredPlain(codec) && !hasMaps ? IMPORTABLE_VERSION : REFUSED_VERSION],
    ['timestamp', String(Math.floor(Date.parse(ended) / 1000))],
    ['source', instance.primary_node],
    ['os', instance.os],
    ['compression', hasMaps ? MAPPED : codec],
  ]);
}

function instanceOptions({ name, beparams, disk_template, hypervisor, tags }: Instance): Option[] {
  const maxmem = beparams['maxmem'] ?? beparams['memory'] ?? UNKNOWN;
  return [
    ['name', name],
    ['maxmem', maxmem],
    ['minmem', beparams['minmem'] ?? beparams['memory'] ?? UNKNOWN],
    // For readers older than Ganeti 2.6, which had only this one.
    ['memory', maxmem],
    ['vcpus', beparams['vcpus'] ?? UNKNOWN],
    ['disk_template', disk_template ?? UNKNOWN],
    ['hypervisor', hypervisor],
    ['tags', tags.join(' ')],
  ];
}

function nicOptions(nic: Nic, index: number): Option[] {
  return [
    [`nic${index}_mac`, nic.mac],
    [`nic${index}_ip`, nic.ip ?? UNKNOWN],
    [`nic${index}_network`, nic.network?.name ?? UNKNOWN],
    [`nic${index}_name`, nic.name ?? UNKNOWN],
    [`nic${index}_mode`, nic.mode],
    [`nic${index}_link`, nic.link],
    [`nic${index}_vlan`, nic.vlan ?? UNKNOWN],
  ];
}

/**
 * All disks with their sizes, including those without a dump: Ganeti counts the sizes, and would otherwise assign a dump to the wrong
 * disk.
 */
function diskOptions({ version, instance: { disks }, dumps }: Manifest): Option[] {
  const nameOf = ({ index, name }: DumpRecord): string => (version === LINEAGE_MANIFEST_VERSION ? mapFileName(index) : name);
  const options = disks.flatMap((disk, index): Option[] => {
    const dump = dumps.find((record) => record.index === index);
    const size = dump?.diskSize ?? disk.size;
    return [
      [`disk${index}_ivname`, `disk/${index}`],
      ...(dump === undefined ? [] : [[`disk${index}_dump`, nameOf(dump)] as const]),
      ...(size === undefined ? [] : [[`disk${index}_size`, String(size)] as const]),
      [`disk${index}_name`, disk.name ?? UNKNOWN],
    ];
  });
  return [...options, ['disk_count', String(disks.length)]];
}

function ofInstance(hvparams: Parameters): Parameters {
  return Object.fromEntries(Object.entries(hvparams).filter(([name]) => !GLOBAL_HYPERVISOR_PARAMETERS.has(name.toLowerCase())));
}

/** Keys are case-insensitive when read, so they are written in lower case; the last of two equal keys counts, as with Python's `set`. */
function parameterOptions(parameters: Parameters): ReadonlyMap<string, string> {
  return new Map(Object.entries(parameters).map(([name, value]) => [name.toLowerCase(), value]));
}
