import { randomBytes } from 'node:crypto';
import type { Disk } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, create, find, remove, setText } from '../xml.ts';
import { diskElements, readDisk } from '../read-disks.ts';

/** A disk that a domain gets, and what its path is. */
export interface NewDisk {
  readonly disk: Disk;
  readonly isBlockDevice: boolean;
}

/** What was guest data when it was exported is a raw disk now: of another format nothing is left. */
const FORMAT = 'raw';
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
  for (const name of ['source', 'backingStore', 'mirror', 'auth', 'encryption']) childrenOf(element, name).forEach(remove);
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
  setText(domain, 'uuid', uuid);
  const genid = find(domain, 'genid');
  // An empty one gets a new value.
  if (genid !== undefined) genid.textContent = '';
  for (const entry of childrenOf(find(domain, 'sysinfo', 'system'), 'entry')) if (attribute(entry, 'name') === 'uuid') remove(entry);
  for (const nic of childrenOf(find(domain, 'devices'), 'interface'))
    find(nic, 'mac')?.setAttribute('address', [MAC_PREFIX, ...(randomBytes(3).toString('hex').match(/../g) ?? [])].join(':'));
}

/** Removes what libvirt fills in anew, because it belongs to one host: the program that emulates, and the number of a running guest. */
export function removeHostParts(domain: Element): void {
  domain.removeAttribute('id');
  childrenOf(find(domain, 'devices'), 'emulator').forEach(remove);
}

/** Parts of a domain that reach into the host that runs it: who takes a domain over should have seen them. */
export function hostParts(domain: Element): readonly string[] {
  const devices = childrenOf(find(domain, 'devices'));
  const parts = [
    ...childrenOf(domain).filter(({ prefix }) => prefix === 'qemu'),
    ...devices.filter(({ nodeName }) => nodeName === 'hostdev' || nodeName === 'filesystem'),
  ];
  return [...new Set(parts.map(({ nodeName }) => `<${nodeName}>`))];
}
