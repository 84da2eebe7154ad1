import { randomBytes } from 'node:crypto';
import type { Disk } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, create, find, remove, setText, textOf } from '../xml.ts';
import { diskElements, readDisk } from '../read-disks.ts';

/** A disk that a domain gets, and what its path is. */
export interface NewDisk {
  readonly disk: Disk;
  readonly isBlockDevice: boolean;
}

/** What was guest data when it was exported is a raw disk now: of another format nothing is left. */
const FORMAT = 'raw';
const LOOPBACK = '127.0.0.1';
const IS_LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;
/** libvirt's own range. */
const MAC_PREFIX = '52:54:00';

/**
 * Puts disks in the place of those that a domain had, by order.
 * @throws InventoryError `failed`
 */
export function replaceDisks(domain: Element, disks: readonly NewDisk[]): void {
  const elements = diskElements(domain);
  if (elements.length !== disks.length) {
    throw new InventoryError('failed', {
      message: `the domain had ${elements.length} disks, and the instance has ${disks.length}`,
      hint: 'Describe as many disks as the domain had, in the same order.',
    });
  }
  for (const [index, element] of elements.entries()) {
    const disk = disks[index];
    if (disk !== undefined) replaceDisk(element, disk, index);
  }
}

function replaceDisk(element: Element, { disk, isBlockDevice }: NewDisk, index: number): void {
  if (disk.path === undefined) return assertSameUri(element, disk, index);
  removeSource(element);
  const source = create(element, 'source', { [isBlockDevice ? 'dev' : 'file']: disk.path });
  element.setAttribute('type', isBlockDevice ? 'block' : 'file');
  element.insertBefore(source, find(element, 'target') ?? null);
  setFormat(element);
  // Commands of SCSI go to devices alone.
  if (isBlockDevice || attribute(element, 'device') !== 'lun') return;
  element.setAttribute('device', 'disk');
  for (const name of ['sgio', 'rawio']) element.removeAttribute(name);
}

function setFormat(element: Element): void {
  let driver = find(element, 'driver');
  if (driver === undefined) {
    driver = create(element, 'driver', { name: 'qemu' });
    element.insertBefore(driver, element.firstChild);
  }
  driver.setAttribute('type', FORMAT);
  // A cache for the tables of qcow2.
  childrenOf(driver, 'metadata_cache').forEach(remove);
}

/** A disk without a path is one of a network, which stays where it was. */
function assertSameUri(element: Element, { uri }: Disk, index: number): void {
  const before = readDisk(element, new Map()).disk;
  if (before.uri === uri && attribute(element, 'type') === 'network') return;
  throw new InventoryError('failed', {
    message: `disk ${index} has a URI and no path, and is not the network disk that the domain had`,
    hint: 'Give its path, or define the domain with virsh.',
  });
}

/** Gives a domain another UUID and other MAC addresses, and removes what repeats the old ones. */
export function replaceIdentity(domain: Element, uuid: string): void {
  setUuid(domain, uuid);
  const genid = find(domain, 'genid');
  // An empty one gets a new value.
  if (genid !== undefined) genid.textContent = '';
  for (const nic of childrenOf(find(domain, 'devices'), 'interface'))
    find(nic, 'mac')?.setAttribute('address', [MAC_PREFIX, ...(randomBytes(3).toString('hex').match(/../g) ?? [])].join(':'));
}

/** Gives a domain a UUID; libvirt refuses another one in the tables of its firmware. */
export function setUuid(domain: Element, uuid: string): void {
  setText(domain, 'uuid', uuid);
  const entries = childrenOf(find(domain, 'sysinfo', 'system'), 'entry');
  for (const entry of entries) if (attribute(entry, 'name') === 'uuid' && textOf(entry) !== uuid) remove(entry);
}

/**
 * Removes what belongs to one host: the program that emulates and the number of a running guest, which libvirt fills in anew, media, and
 * the files of the host to which the output of consoles is written.
 */
export function removeHostParts(domain: Element): void {
  domain.removeAttribute('id');
  const devices = childrenOf(find(domain, 'devices'));
  for (const device of devices) {
    if (device.nodeName === 'emulator') remove(device);
    childrenOf(device, 'log').forEach(remove);
  }
  const disks = diskElements(domain);
  for (const drive of devices.filter((each) => each.nodeName === 'disk' && !disks.includes(each))) {
    removeSource(drive);
    drive.setAttribute('type', 'file');
  }
}

function removeSource(disk: Element): void {
  for (const name of ['source', 'backingStore', 'mirror', 'auth', 'encryption']) childrenOf(disk, name).forEach(remove);
}

/**
 * Gives a domain that keeps its firmware variables in a file the file that libvirt would choose, however its XML says that.
 * @param placeOf the path of a file name
 */
export function placeNvram(domain: Element, placeOf: (fileName: string) => string, name: string): void {
  const [nvram, ...others] = childrenOf(find(domain, 'os'), 'nvram');
  others.forEach(remove);
  if (nvram === undefined || attribute(nvram, 'type') === 'network') return;
  nvram.removeAttribute('type');
  const extension = attribute(nvram, 'format') === 'qcow2' ? 'qcow2' : 'fd';
  nvram.textContent = placeOf(`${name.replaceAll(/[^0-9A-Za-z._-]/g, '_')}_VARS.${extension}`);
}

/**
 * libvirt describes no passwords: a console that had one would be open to everybody. Without one it listens on this host alone.
 * @returns the types of the consoles that it changed, such as `vnc`
 */
export function keepConsolesHere(domain: Element): readonly string[] {
  return childrenOf(find(domain, 'devices'), 'graphics').flatMap((console) => {
    const listeners = childrenOf(console, 'listen').filter((each) => ['address', 'network'].includes(attribute(each, 'type') ?? ''));
    const addresses = [attribute(console, 'listen') ?? LOOPBACK, ...listeners.map(addressOf)];
    if (attribute(console, 'passwd') !== undefined || addresses.every((each) => IS_LOOPBACK.test(each))) return [];
    // libvirt wants the same in the attribute and in the first element.
    console.setAttribute('listen', LOOPBACK);
    for (const each of listeners) {
      each.removeAttribute('network');
      each.setAttribute('type', 'address');
      each.setAttribute('address', LOOPBACK);
    }
    return [attribute(console, 'type') ?? 'graphics'];
  });
}

function addressOf(listener: Element): string {
  return attribute(listener, 'address') ?? (attribute(listener, 'type') === 'network' ? 'of a network' : LOOPBACK);
}
