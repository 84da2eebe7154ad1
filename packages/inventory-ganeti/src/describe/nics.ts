import type { InstanceFields, NicMode } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';
import type { DetailsAnswer, NetworkAnswer } from './answers.ts';

type NicFields = NonNullable<InstanceFields['nics']>[number];

export function describeNics({ nics, hv_actual: hypervisor }: DetailsAnswer): readonly NicFields[] {
  const type = hypervisor['nic_type'];
  const frontend = typeof type === 'string' && type !== '' ? type : undefined;
  return nics.map(([name, uuid, ip, mac, mode, link, vlan, , network]) => ({
    mac,
    ip: filled(ip),
    mode: modeOf(mode),
    link: link ?? '',
    vlan: filled(vlan),
    name: filled(name),
    uuid: filled(uuid),
    frontend_type: frontend,
    network: describeNetwork(network),
  }));
}

/** Tags are a set to Ganeti, which gives them in another order each time. */
function describeNetwork(network: NetworkAnswer | null | undefined): NicFields['network'] {
  if (network === undefined || network === null) return undefined;
  return {
    name: network.name,
    tags: (network.tags ?? []).toSorted(),
    ...optional('uuid', network.uuid),
    ...optional('subnet', network.network),
    ...optional('gateway', network.gateway),
    ...optional('subnet6', network.network6),
    ...optional('gateway6', network.gateway6),
    ...optional('mac_prefix', network.mac_prefix),
  };
}

function optional<Name extends string>(name: Name, value: string | null | undefined): { readonly [K in Name]?: string } {
  const text = filled(value);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the type of a computed name is not kept
  return (text === undefined ? {} : { [name]: text }) as { readonly [K in Name]?: string };
}

function filled(value: string | null | undefined): string | undefined {
  return value === null || value === '' ? undefined : value;
}

const MODES: ReadonlyMap<string, NicMode> = new Map((['bridged', 'routed', 'openvswitch', 'ext'] as const).map((mode) => [mode, mode]));

function modeOf(mode: string): NicMode {
  const known = MODES.get(mode);
  if (known !== undefined) return known;
  throw new InventoryError('failed', { message: `a NIC has the mode ${JSON.stringify(mode)}, which Gantry does not know` });
}
