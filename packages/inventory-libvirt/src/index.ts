import type { Inventory } from '@gantry/core/inventory';
import { connectionOf } from './address.ts';
import { LibvirtSource } from './source.ts';
import { stateDirectoryOf } from './state-files.ts';
import { Virsh } from './virsh.ts';

/** `libvirt:NAME` is a domain of this host, `libvirt+ssh://[USER@]HOST/NAME` one of another. */
const inventory: Inventory = {
  schemes: ['libvirt', 'libvirt+ssh'],
  open: async (address, { env, warn }) => {
    const virsh = new Virsh({ ...connectionOf(address, env), env });
    return await Promise.resolve(new LibvirtSource(address.href, { virsh, stateDirectory: stateDirectoryOf(virsh.uri, env), warn }));
  },
};

export default inventory;
