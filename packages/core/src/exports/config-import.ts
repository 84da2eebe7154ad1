import type { Codec } from '../frames/codecs/registry.ts';
import { CODEC_NAMES, isCodec } from '../frames/codecs/registry.ts';
import { GantryError } from '../report/errors.ts';
import type { Parameters } from '../instances/model.ts';
import type { ConfigIni } from './config-ini.ts';
import { parseConfigIni } from './config-ini.ts';
import { isDumpName } from './layout.ts';

/** A disk as described by `config.ini`. */
export interface ConfigDisk {
  readonly index: number;
  /** The dump's file name, checked to be a plain one; absent if the disk does not have a dump. */
  readonly dump?: string;
  /** MiB. */
  readonly size?: number;
  readonly name?: string;
}

/** A NIC as described by `config.ini`; not checked. */
export interface ConfigNic {
  readonly mac?: string;
  readonly ip?: string;
  readonly mode?: string;
  readonly link?: string;
  readonly network?: string;
  readonly name?: string;
  readonly vlan?: string;
}

/** The description of an export in `config.ini`: untrusted data. Unknown values are absent. */
export interface ConfigDescription {
  readonly instanceName: string;
  readonly os: string;
  /** The value of `compression`; see `codecOfCompression`. */
  readonly compression: string;
  readonly timestamp?: Date;
  readonly source?: string;
  readonly hypervisor?: string;
  readonly disk_template?: string;
  readonly tags: readonly string[];
  readonly disks: readonly ConfigDisk[];
  readonly nics: readonly ConfigNic[];
  readonly osparams: Parameters;
  readonly beparams: Parameters;
  readonly hvparams: Parameters;
  /** The names of private OS parameters; their values are not read. */
  readonly privateNames: readonly string[];
  /** Sections and keys that Gantry does not know, unchanged. */
  readonly other: Readonly<Record<string, Parameters>>;
}

const UNKNOWN: ReadonlySet<string> = new Set(['', 'None']);
/** `False`: older versions of Ganeti wrote it for a disk whose snapshot failed. */
const NO_DUMP: ReadonlySet<string> = new Set([...UNKNOWN, 'False']);

/** 0 is Ganeti's; 1 is a compressed export of Gantry, which Ganeti refuses. Older versions of Gantry wrote 0 for these too. */
const VERSIONS: ReadonlySet<string> = new Set(['0', '1']);

const DISK_KEY = /^disk(0|[1-9][0-9]{0,2})_(?:ivname|dump|size|name)$/;
const NIC_KEY = /^nic(0|[1-9][0-9]{0,2})_(?:mac|ip|mode|link|network|name|vlan|bridge)$/;
const EXPORT_KEYS: ReadonlySet<string> = new Set(['version', 'timestamp', 'source', 'os', 'compression']);
const INSTANCE_KEYS: ReadonlySet<string> = new Set(['name', 'disk_template', 'hypervisor', 'tags', 'nic_count', 'disk_count']);
/** Keys of `instance` in which Ganeti before 2.1 kept backend parameters; today's repeats some of them. */
const BACKEND_KEYS: ReadonlySet<string> = new Set(['maxmem', 'minmem', 'memory', 'vcpus', 'auto_balance']);
const PARAMETER_SECTIONS: ReadonlySet<string> = new Set(['hypervisor', 'backend', 'os', 'os_private']);

/**
 * Reads the `config.ini` of an export by Gantry or by Ganeti 2.0 or later. The keys of the dumps say which disks have dumps, never
 * `disk_count`: its meaning has changed over the years (at first it was one too low).
 *
 * @param source its name in messages
 * @throws GantryError `CONFIG_DAMAGED`
 */
export function parseExportConfig(text: string, source: string): ConfigDescription {
  const config = parseConfigIni(text, source);
  const main = section(config, 'export', source);
  const instance = section(config, 'instance', source);
  const version = main.get('version');
  if (version === undefined || !VERSIONS.has(version))
    throw damaged(source, `[export] version is ${JSON.stringify(version ?? '')}; Gantry reads ${[...VERSIONS].join(' and ')}`);
  const timestamp = parseTimestamp(main.get('timestamp'));
  const backend = config.get('backend');
  return {
    instanceName: required(instance, 'name', source),
    os: required(main, 'os', source),
    compression: knownValue(main.get('compression')) ?? 'none',
    ...(timestamp === undefined ? {} : { timestamp }),
    ...pick({
      source: knownValue(main.get('source')),
      hypervisor: knownValue(instance.get('hypervisor')),
      disk_template: knownValue(instance.get('disk_template')),
    }),
    tags: (knownValue(instance.get('tags')) ?? '').split(/\s+/).filter((tag) => tag !== ''),
    disks: parseDisks(instance, source),
    nics: parseNics(instance),
    osparams: parameters(config.get('os')),
    beparams: parameters(backend ?? new Map([...instance].filter(([key, value]) => BACKEND_KEYS.has(key) && !UNKNOWN.has(value)))),
    hvparams: parameters(config.get('hypervisor')),
    privateNames: [...(config.get('os_private')?.keys() ?? [])],
    other: otherOptions(config),
  };
}

/**
 * The codec that a `compression` of `config.ini` means.
 * @throws GantryError `CODEC_UNKNOWN`
 */
export function codecOfCompression(compression: string, source: string): Codec {
  if (isCodec(compression)) return compression;
  throw new GantryError('CODEC_UNKNOWN', {
    message: `${source}: the dumps are compressed with ${JSON.stringify(compression)}, which Gantry cannot read`,
    hint: `Gantry reads ${CODEC_NAMES.join(', ')}. Decompress the dumps with the tool that made them, and write "compression = none".`,
  });
}

function parseDisks(instance: ReadonlyMap<string, string>, source: string): ConfigDisk[] {
  const disks = indexesOf(instance, DISK_KEY).map((index) => parseDisk(instance, index, source));
  const dumps = disks.flatMap(({ dump }) => dump ?? []);
  const twice = dumps.find((dump, place) => dumps.indexOf(dump) !== place);
  if (twice !== undefined) throw damaged(source, `two disks have the dump ${twice}`);
  return disks;
}

function parseDisk(instance: ReadonlyMap<string, string>, index: number, source: string): ConfigDisk {
  const dump = parseDumpName(instance.get(`disk${index}_dump`), index, source);
  const size = instance.get(`disk${index}_size`);
  return {
    index,
    ...pick({ dump, name: knownValue(instance.get(`disk${index}_name`)) }),
    ...(size !== undefined && /^[0-9]{1,10}$/.test(size) ? { size: Number(size) } : {}),
  };
}

function parseDumpName(name: string | undefined, index: number, source: string): string | undefined {
  if (name === undefined || NO_DUMP.has(name)) return undefined;
  if (!isDumpName(name)) throw damaged(source, `disk${index}_dump, ${JSON.stringify(name.slice(0, 100))}, is not a plain file name`);
  return name;
}

function parseNics(instance: ReadonlyMap<string, string>): ConfigNic[] {
  return indexesOf(instance, NIC_KEY).map((index) => {
    const value = (field: string): string | undefined => knownValue(instance.get(`nic${index}_${field}`));
    const bridge = value('bridge');
    return pick({
      mac: value('mac'),
      ip: value('ip'),
      mode: value('mode') ?? (bridge === undefined ? undefined : 'bridged'),
      link: value('link') ?? bridge,
      network: value('network'),
      name: value('name'),
      vlan: value('vlan'),
    });
  });
}

function indexesOf(options: ReadonlyMap<string, string>, pattern: RegExp): number[] {
  const indexes = [...options.keys()].flatMap((key) => pattern.exec(key)?.[1] ?? []).map(Number);
  return [...new Set(indexes)].toSorted((a, b) => a - b);
}

function parseTimestamp(text: string | undefined): Date | undefined {
  const time = new Date(Number(/^[0-9]{1,12}(?:\.[0-9]+)?$/.test(text ?? '') ? text : Number.NaN) * 1000);
  return Number.isNaN(time.getTime()) ? undefined : time;
}

function otherOptions(config: ConfigIni): Record<string, Parameters> {
  const sections = [...config]
    .filter(([name]) => !PARAMETER_SECTIONS.has(name))
    .map(([name, options]) => [name, Object.fromEntries([...options].filter(([key]) => !isKnown(name, key)))] as const)
    .filter(([name, options]) => Object.keys(options).length > 0 || (name !== 'export' && name !== 'instance'));
  return Object.fromEntries(sections);
}

function isKnown(section: string, key: string): boolean {
  if (section === 'export') return EXPORT_KEYS.has(key);
  if (section !== 'instance') return false;
  return INSTANCE_KEYS.has(key) || BACKEND_KEYS.has(key) || DISK_KEY.test(key) || NIC_KEY.test(key);
}

function parameters(options: ReadonlyMap<string, string> | undefined): Parameters {
  return Object.fromEntries(options ?? []);
}

function section(config: ConfigIni, name: string, source: string): ReadonlyMap<string, string> {
  const found = config.get(name);
  if (found === undefined) throw damaged(source, `section [${name}] is missing`);
  return found;
}

function required(options: ReadonlyMap<string, string>, key: string, source: string): string {
  const value = knownValue(options.get(key));
  if (value === undefined) throw damaged(source, `${key} is missing`);
  return value;
}

function knownValue(value: string | undefined): string | undefined {
  return value === undefined || UNKNOWN.has(value) ? undefined : value;
}

/** Removes undefined values. */
function pick<K extends string>(values: Readonly<Record<K, string | undefined>>): { [key in K]?: string } {
  const known: { [key in K]?: string } = {};
  for (const key in values) {
    const value = values[key];
    if (value !== undefined) known[key] = value;
  }
  return known;
}

function damaged(source: string, what: string): GantryError {
  return new GantryError('CONFIG_DAMAGED', {
    message: `${source} is damaged: ${what}`,
    hint: 'Use another export, or correct the file: it must have the format that Ganeti writes.',
  });
}
