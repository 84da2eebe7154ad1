import type { Disk } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import type { Element } from '@xmldom/xmldom';
import { keepConsolesHere, placeNvram, removeHostParts, replaceDisks, replaceIdentity, setUuid } from '../../src/manager/new-domain.ts';
import { diskElements, guardedPlaces } from '../../src/read-disks.ts';
import { attribute, childrenOf, find, parseDomain, serialize, setText, textOf } from '../../src/xml.ts';

const UUID = '7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11';
const NVRAM = '/var/lib/libvirt/qemu/nvram/';

const DOMAIN = `<domain type='kvm' id='3'><name>web1</name><uuid>${UUID.replace('7', '8')}</uuid><genid>x</genid>
<sysinfo type='smbios'><system><entry name='uuid'>${UUID}</entry></system></sysinfo>
<os><nvram type='file' format='qcow2'><source file='/etc/shadow'/></nvram></os><devices><emulator>/bin/sh</emulator>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/a.qcow2'/><backingStore type='file'><source file='/b'/></backingStore><target dev='vda'/></disk>
<disk type='block' device='lun' sgio='unfiltered'><source dev='/dev/sda'/><target dev='sda'/></disk>
<disk type='file' device='cdrom'><source file='/etc/passwd'/><target dev='hda'/></disk>
<interface type='bridge'><mac address='aa:00:00:35:4c:01'/></interface><serial type='pty'><log file='/etc/cron.d/x'/></serial>
<graphics type='vnc' listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics></devices></domain>`;

/** The XML of a domain in an export, from which a new one is defined: it has the disks that it is given, and nothing of the other host. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    DOMAIN,
    DOMAIN.replace(" id='3'", '').replace("<graphics type='vnc' listen='0.0.0.0'>", "<graphics type='spice' passwd='x'>"),
  ],
  words: [
    '<devices>',
    '</devices>',
    '<disk ',
    "device='cdrom'",
    "type='network'",
    '<source ',
    '<listen ',
    '<nvram>',
    '<os>',
    "file='/etc/shadow'",
    '<![CDATA[',
    '&#47;',
  ],
  maxBytes: 8192,
  run(text) {
    let domain: Element;
    try {
      domain = parseDomain(text, 'the export');
      removeHostParts(domain);
      setText(domain, 'name', 'web2');
      setUuid(domain, UUID);
      replaceIdentity(domain, UUID);
      placeNvram(domain, (name) => `${NVRAM}${name}`, 'web2');
      keepConsolesHere(domain);
      replaceDisks(domain, disksFor(domain));
    } catch (error) {
      return assertRefusal(error, (each) => each instanceof InventoryError);
    }
    assertOurs(parseDomain(serialize(domain), 'the new domain'));
  },
});

export default target;

function disksFor(domain: Element): readonly { readonly disk: Disk; readonly isBlockDevice: boolean }[] {
  return diskElements(domain).map((_, index) => ({
    disk: { path: `/srv/new/${index}.img`, access: 'rw' },
    isBlockDevice: index % 2 === 1,
  }));
}

function assertOurs(domain: Element): void {
  const elsewhere = guardedPlaces(domain, new Map()).find((place) => !place.startsWith('/srv/new/'));
  if (elsewhere !== undefined) throw new Error(`a disk at ${elsewhere}`);
  const nvram = find(domain, 'os', 'nvram');
  const place = attribute(find(nvram, 'source'), 'file') ?? textOf(nvram);
  if (nvram !== undefined && attribute(nvram, 'type') !== 'network' && place?.startsWith(NVRAM) !== true)
    throw new Error(`variables at ${place}`);
  const devices = childrenOf(find(domain, 'devices'));
  if (devices.some((each) => each.nodeName === 'emulator' || childrenOf(each, 'log').length > 0))
    throw new Error('a program or a file of the host');
  if (find(domain, 'name')?.textContent !== 'web2' || textOf(find(domain, 'uuid')) !== UUID) throw new Error('another name or UUID');
}
