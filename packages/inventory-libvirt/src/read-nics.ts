import type { InstanceFields } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, childrenOf, find } from './xml.ts';

type NicFields = NonNullable<InstanceFields['nics']>[number];

const MAC = /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/;
const WORD = /^[0-9A-Za-z][0-9A-Za-z_.-]*$/;

/** The NICs of a domain. One without a MAC address is left out: libvirt gives every one an address. */
export function readNics(domain: Element): readonly NicFields[] {
  return childrenOf(find(domain, 'devices'), 'interface').flatMap((each) => {
    const mac = attribute(find(each, 'mac'), 'address');
    return mac === undefined || !MAC.test(mac) ? [] : [readNic(each, mac)];
  });
}

function readNic(element: Element, mac: string): NicFields {
  const source = find(element, 'source');
  const [bridge, network, device] = [attribute(source, 'bridge'), attribute(source, 'network'), attribute(source, 'dev')];
  const model = attribute(find(element, 'model'), 'type');
  const ip = attribute(find(element, 'ip'), 'address');
  const isSwitch = attribute(find(element, 'virtualport'), 'type') === 'openvswitch';
  const isBridged = bridge !== undefined || network !== undefined;
  const vlan = isSwitch ? vlanOf(element) : undefined;
  return {
    mac: mac.toLowerCase(),
    mode: isSwitch ? 'openvswitch' : isBridged ? 'bridged' : 'ext',
    link: bridge ?? device ?? '',
    ...(ip === undefined ? {} : { ip }),
    ...(vlan === undefined ? {} : { vlan }),
    ...(network === undefined ? {} : { network: { name: network, tags: [] } }),
    ...(model !== undefined && WORD.test(model) ? { frontend_type: model } : {}),
  };
}

/** As Ganeti writes it: `.100` untagged, `:20:30` tagged. */
function vlanOf(element: Element): string | undefined {
  const vlan = find(element, 'vlan');
  const ids = childrenOf(vlan, 'tag').flatMap((tag) => attribute(tag, 'id') ?? []);
  if (ids.length === 0 || !ids.every((id) => /^\d{1,4}$/.test(id))) return undefined;
  return ids.length === 1 && attribute(vlan, 'trunk') !== 'yes' ? `.${ids[0]}` : `:${ids.join(':')}`;
}
