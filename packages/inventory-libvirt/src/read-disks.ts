import type { Disk } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, find } from './xml.ts';

/** A disk of a domain, where it is kept, and what is behind it. */
export interface DomainDisk {
  /** Such as `vda`. */
  readonly target: string;
  readonly disk: Partial<Disk>;
  /** Why it cannot be described as a disk of an instance file; then `disk` has neither path nor URI. */
  readonly problem?: string | undefined;
}

/** What a disk's source is, in the XML of its domain: where it is, or why that cannot be said. */
export type Place = { readonly path: string } | { readonly uri: string } | { readonly problem: string } | undefined;

/** The disks that an instance has: removable media are not part of it. */
export function diskElements(domain: Element): readonly Element[] {
  return childrenOf(find(domain, 'devices'), 'disk').filter((disk) => DISKS.has(attribute(disk, 'device') ?? 'disk'));
}

const DISKS: ReadonlySet<string> = new Set(['disk', 'lun']);
const WORD = /^[0-9A-Za-z][0-9A-Za-z_.-]*$/;

/** @param volumes the path of each volume of a storage pool, by {@link volumeKey} */
export function readDisk(disk: Element, volumes: ReadonlyMap<string, string>): DomainDisk {
  const target = attribute(find(disk, 'target'), 'dev') ?? '';
  const bus = attribute(find(disk, 'target'), 'bus');
  const place = asGuestSees(disk, placeOf(disk, volumes)) ?? { problem: 'it has no source' };
  const problem = 'problem' in place ? `disk ${target} cannot be described: ${place.problem}` : undefined;
  const where = 'problem' in place ? {} : place;
  return {
    target,
    problem,
    disk: {
      ...where,
      access: find(disk, 'readonly') === undefined ? 'rw' : 'ro',
      ...(target === '' ? {} : { name: target }),
      ...(bus !== undefined && WORD.test(bus) ? { frontend_type: bus } : {}),
    },
  };
}

/**
 * The file of a format such as qcow2 does not hold the bytes that the guest sees: it has a URI, so that nobody takes it for a raw disk.
 * The snapshot provider for libvirt reads it through the guest.
 */
function asGuestSees(disk: Element, place: Place): Place {
  if (place === undefined || !('path' in place)) return place;
  const format = attribute(find(disk, 'driver'), 'type') ?? 'raw';
  const encrypted = [disk, find(disk, 'source')].some((at) => find(at, 'encryption') !== undefined);
  if (format === 'raw' && !encrypted) return place;
  return { uri: `${encrypted ? 'luks' : format}:${encodeURI(place.path)}` };
}

/** Everything that must be left alone while the domain runs: the sources of all its disks, media too, with what is behind them. */
export function guardedPlaces(domain: Element, volumes: ReadonlyMap<string, string>): readonly string[] {
  const places = new Set<string>();
  const add = (place: Place): void => {
    if (place !== undefined && !('problem' in place)) places.add('path' in place ? place.path : place.uri);
  };
  for (const disk of childrenOf(find(domain, 'devices'), 'disk')) {
    add(asGuestSees(disk, placeOf(disk, volumes)));
    for (const layer of layersOf(disk)) add(placeOf(layer, volumes));
  }
  return [...places];
}

/** A disk, its backing files, and the copy that a running job of libvirt makes. libvirt says them of a domain that runs. */
function* layersOf(disk: Element): Generator<Element> {
  yield disk;
  for (const name of ['backingStore', 'mirror']) for (const each of childrenOf(disk, name)) yield* layersOf(each);
}

/** The key of a volume, from a `<source>` of the type `volume`. */
export function volumeKey(source: Element | undefined): string | undefined {
  const [pool, volume] = [attribute(source, 'pool'), attribute(source, 'volume')];
  return pool === undefined || volume === undefined ? undefined : JSON.stringify([pool, volume]);
}

function placeOf(element: Element, volumes: ReadonlyMap<string, string>): Place {
  const source = find(element, 'source');
  const type = attribute(element, 'type') ?? 'file';
  if (source === undefined) return undefined;
  const [file, device] = [attribute(source, 'file'), attribute(source, 'dev')];
  if (type === 'file') return file === undefined ? undefined : absolute(file);
  if (type === 'block') return device === undefined ? undefined : absolute(device);
  if (type === 'network') return networkPlace(source, find(element, 'auth') ?? find(source, 'auth'));
  if (type !== 'volume') return { problem: `Gantry does not know sources of the type ${type}` };
  const path = volumes.get(volumeKey(source) ?? '');
  return path === undefined ? { problem: 'libvirt does not say where its volume is' } : absolute(path);
}

function absolute(path: string): Place {
  return path.startsWith('/') ? { path } : { problem: `its path ${JSON.stringify(path)} is not absolute` };
}

/** As QEMU writes it: `rbd:POOL/IMAGE` with options, or PROTOCOL://HOST:PORT/NAME. Never with a secret: libvirt keeps those elsewhere. */
function networkPlace(source: Element, auth: Element | undefined): Place {
  const [protocol, name = ''] = [attribute(source, 'protocol'), attribute(source, 'name')];
  if (protocol === undefined || !/^[a-z][a-z0-9+.-]*$/.test(protocol)) return { problem: 'it is on a network, by an unknown protocol' };
  if (protocol === 'rbd') return { uri: rbdUri(source, name, attribute(auth, 'username')) };
  const [host] = childrenOf(source, 'host');
  const [address, port, socket] = [attribute(host, 'name'), attribute(host, 'port'), attribute(host, 'socket')];
  if (socket !== undefined) return { uri: `${protocol}+unix:///${encodeURI(name)}?socket=${encodeURIComponent(socket)}` };
  if (address === undefined) return { problem: `the host of its ${protocol} server is missing` };
  const authority = address.includes(':') ? `[${address}]` : address;
  return { uri: `${protocol}://${authority}${port === undefined ? '' : `:${port}`}/${encodeURI(name.replace(/^\//, ''))}` };
}

/** https://docs.ceph.com/en/latest/rbd/qemu-rbd/: backslashes in front of what divides options. */
function rbdUri(source: Element, name: string, user: string | undefined): string {
  const escape = (text: string): string => text.replaceAll(/[\\:@=;]/g, String.raw`\$&`);
  const config = attribute(find(source, 'config'), 'file');
  const hosts = childrenOf(source, 'host').flatMap((host) => {
    const [address, port] = [attribute(host, 'name'), attribute(host, 'port')];
    return address === undefined ? [] : [escape(port === undefined ? address : `${address}:${port}`)];
  });
  const options = [
    ...(user === undefined ? [] : [`id=${escape(user)}`]),
    ...(config === undefined ? [] : [`conf=${escape(config)}`]),
    ...(hosts.length === 0 ? [] : [`mon_host=${hosts.join(String.raw`\;`)}`]),
  ];
  return ['rbd', encodeSpaces(name), ...options.map(encodeSpaces)].join(':');
}

function encodeSpaces(text: string): string {
  return text.replaceAll(/\s/g, (space) => encodeURIComponent(space));
}
