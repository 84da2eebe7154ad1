import { fileInventory } from '@gantry/core';
import type { Inventory } from '@gantry/core/inventory';
import type { PackageKind } from './load-package.ts';
import { loadPackage } from './load-package.ts';

/** Which package serves which scheme of instances; a new one is a line here, with the import that loads it. */
const INVENTORIES: PackageKind<Inventory> = {
  kind: 'inventory',
  own: {
    file: async () => await Promise.resolve(fileInventory),
    ganeti: async () => (await import('@gantry/inventory-ganeti')).default,
    libvirt: async () => (await import('@gantry/inventory-libvirt')).default,
    'libvirt+ssh': async () => (await import('@gantry/inventory-libvirt')).default,
  },
  notInstalled: 'INVENTORY_NOT_INSTALLED',
  otherwise: 'For a file of such a name, put ./ before it.',
};

/** @throws GantryError `INVENTORY_NOT_INSTALLED` */
export async function loadInventory(url: URL): Promise<Inventory> {
  return await loadPackage(url.protocol.slice(0, -1), INVENTORIES);
}
