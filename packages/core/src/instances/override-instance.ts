import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { GantryError } from '../report/errors.ts';
import type { Disk, Instance, Nic, Parameters } from './model.ts';
import { parseInstance } from './parse-instance.ts';

/** What the caller says of an instance in the place of its description. */
export interface InstanceOverrides {
  readonly name?: string | undefined;
  /** `os` or `os+variant`. */
  readonly os?: string | undefined;
  /** Paths (or URIs, such as `qcow2:/srv/vm/web1.qcow2`) of disks, by index; the index after the last adds a disk. */
  readonly disks?: ReadonlyMap<number, string> | undefined;
  /** Fields of NICs, by index; the index after the last adds a NIC. The MAC address `generate` gives it a new one. */
  readonly nics?: ReadonlyMap<number, Readonly<Record<string, string>>> | undefined;
  /** Public OS parameters, in addition to those that the instance has. */
  readonly osparams?: Parameters | undefined;
}

export interface OverrideOptions {
  /** The absolute directory that relative paths of disks are relative to. */
  readonly baseDirectory: string;
  /** Name of the result in messages. */
  readonly source: string;
}

/** Of the schemes that Gantry knows. A relative path that looks like one can be written with `./`. */
const IS_URI = /^(?:rbd|qcow2|vmdk|vhdx):/;
/** As a NIC says that it wants a new MAC address. */
const GENERATE = 'generate';
/** Of QEMU and libvirt: for a NIC that had no address before. */
const DEFAULT_MAC_PREFIX = '52:54:00';

/**
 * An instance with some fields replaced, checked like an instance file. A disk with another path is another disk: its size and kind are
 * read anew.
 *
 * @throws GantryError `INSTANCE_INVALID`, `DISK_UNKNOWN`
 */
export function overrideInstance(instance: Instance, overrides: InstanceOverrides, options: OverrideOptions): Instance {
  const {
    name,
    os,
    disks = new Map<number, string>(),
    nics = new Map<number, Readonly<Record<string, string>>>(),
    osparams = {},
  } = overrides;
  return parseInstance(
    {
      ...instance,
      ...(name === undefined ? {} : { name }),
      ...(os === undefined ? {} : { os }),
      disks: overrideDisks(instance, disks),
      nics: overrideNics(instance, nics),
      osparams: { ...instance.osparams, ...osparams },
    },
    { ...options, hostName: hostname() },
  );
}

function overrideDisks({ name, disks }: Instance, paths: ReadonlyMap<number, string>): readonly Disk[] {
  const all = [...disks];
  for (const [index, path] of inOrder(paths)) {
    if (index > all.length) {
      throw new GantryError('DISK_UNKNOWN', {
        message: `${name} has ${all.length} disks, so that the next is disk ${all.length}, and not disk ${index}`,
        hint: 'Disks are numbered from 0.',
        disk: index,
      });
    }
    const { size: _size, backend_type: _type, uri: _uri, path: _path, ...kept }: Disk = all[index] ?? { access: 'rw' };
    all[index] = { ...kept, ...(IS_URI.test(path) ? { uri: path } : { path }) };
  }
  return all;
}

function overrideNics({ name, nics }: Instance, fields: ReadonlyMap<number, Readonly<Record<string, string>>>): readonly object[] {
  const all: (Nic | object)[] = [...nics];
  const taken = new Set(nics.map(({ mac }) => mac.toLowerCase()));
  for (const [index, { mac, ...others }] of inOrder(fields)) {
    if (index > all.length) {
      throw new GantryError('INSTANCE_INVALID', {
        message: `${name} has ${all.length} NICs, so that the next is NIC ${all.length}, and not NIC ${index}`,
        hint: 'NICs are numbered from 0.',
      });
    }
    const address = mac === GENERATE ? generateMac(nics[index]?.mac, taken) : mac;
    all[index] = { ...all[index], ...others, ...(address === undefined ? {} : { mac: address }) };
  }
  return all;
}

/** In the range of the address before, which is that of its hypervisor or cluster. */
function generateMac(before: string | undefined, taken: Set<string>): string {
  const prefix = before?.slice(0, DEFAULT_MAC_PREFIX.length).toLowerCase() ?? DEFAULT_MAC_PREFIX;
  for (;;) {
    const mac = [prefix, ...(randomBytes(3).toString('hex').match(/../g) ?? [])].join(':');
    if (taken.has(mac)) continue;
    taken.add(mac);
    return mac;
  }
}

function inOrder<T>(entries: ReadonlyMap<number, T>): readonly (readonly [number, T])[] {
  return [...entries].toSorted(([a], [b]) => a - b);
}
