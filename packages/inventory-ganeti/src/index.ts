import type { Inventory } from '@gantry/core/inventory';
import { InventoryError } from '@gantry/core/inventory';

/** Serves `ganeti:` (the cluster of this node) and `ganeti://MASTER` (RAPI). */
const inventory: Inventory = {
  schemes: ['ganeti'],
  open: async (address) => await Promise.reject(new InventoryError('unavailable', { message: `cannot open ${address.href}: being built` })),
};

export default inventory;
