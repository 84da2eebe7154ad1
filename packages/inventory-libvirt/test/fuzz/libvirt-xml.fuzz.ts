import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { describeDomain, summarize } from '../../src/describe.ts';
import { listDomains, readDomains } from '../../src/domains.ts';
import { Virsh } from '../../src/virsh.ts';
import { serialize } from '../../src/xml.ts';

const UUID = '7f0c0f6e-5f0a-4b8e-9d57-0c8a1f6f2b11';

/** Says what the input says, no matter what it is asked. */
class PlayedVirsh extends Virsh {
  said = '';

  constructor() {
    super({ uri: 'qemu+ssh://peer/system', isLocal: false, env: {} });
  }

  override async run(): Promise<string> {
    return this.said;
  }

  override async runAll(commands: readonly string[]): Promise<readonly string[]> {
    return commands.map(() => this.said);
  }
}

const virsh = new PlayedVirsh();

const DOMAIN = `<domain type='kvm' id='3'>
  <name>web1</name><uuid>${UUID}</uuid><memory unit='KiB'>1048576</memory><currentMemory unit='KiB'>524288</currentMemory><vcpu>2</vcpu>
  <metadata><g:instance xmlns:g="urn:gantry:instance" os="debootstrap+default"><g:tag>web</g:tag><g:osparam name="a">b</g:osparam></g:instance></metadata>
  <os><type>hvm</type><nvram>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/a b.qcow2'/><target dev='vda' bus='virtio'/>
      <backingStore type='file'><source file='/srv/base.img'/></backingStore></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/image'><host name='mon' port='6789'/><auth username='a'/></source><target dev='vdb'/></disk>
    <disk type='block' device='lun'><source dev='/dev/vg/web1'/><target dev='sda' bus='scsi'/><readonly/></disk>
    <disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vdc'/></disk>
    <disk type='network' device='disk'><source protocol='nbd' name='x'><host transport='unix' socket='/run/nbd'/></source><target dev='vdd'/></disk>
    <interface type='bridge'><mac address='aa:00:00:35:4c:01'/><source bridge='br0'/><virtualport type='openvswitch'/><vlan><tag id='100'/></vlan><model type='virtio'/></interface>
  </devices>
</domain>`;

/** What virsh prints: lists of domains, and their XML. */
const target: FuzzTarget = textTarget({
  seeds: () => [DOMAIN, DOMAIN.replace(" id='3'", '').replace('qcow2', 'raw'), `${UUID} web1\n${UUID.replace('7', '8')} web 2\n`],
  words: [
    '<!DOCTYPE a>',
    '<![CDATA[',
    ']]>',
    '&amp;',
    '&#x202e;',
    '<disk ',
    '<source ',
    '<name>',
    '</name>',
    "xmlns:g='urn:gantry:instance'",
    '<backingStore>',
  ],
  maxBytes: 8192,
  async run(text) {
    virsh.said = text;
    const context = { virsh, stateDirectory: '/nonexistent', warn: () => undefined };
    const isRefusal = (error: unknown): boolean => error instanceof InventoryError;
    try {
      await listDomains(virsh, {});
      for await (const domain of readDomains(virsh, [UUID], (error) => assertRefusal(error, isRefusal), {})) {
        summarize(domain, 'node1');
        const { instance, guarded } = await describeDomain(domain, context, {});
        if (guarded.some((place) => place === '')) throw new Error('an empty place');
        for (const { path, uri } of instance.disks ?? [])
          if (path?.startsWith('/') === false || (path ?? uri) === undefined) throw new Error('a disk that is nowhere');
        serialize(domain.configured);
      }
    } catch (error) {
      assertRefusal(error, isRefusal);
    }
  },
});

export default target;
