import type { Inventory } from '@gantry/core/inventory';
import { openCluster } from './open-cluster.ts';

/** Serves `ganeti:` (the cluster of this node) and `ganeti://MASTER` (RAPI). */
const inventory: Inventory = {
  schemes: ['ganeti'],
  open: async (address, options) => await openCluster(address, options),
};

export default inventory;
