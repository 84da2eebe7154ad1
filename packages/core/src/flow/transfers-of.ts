import type { InstanceSource, InstanceTransfers } from '../instances/inventory.ts';
import { GantryError } from '../report/errors.ts';

/** @throws GantryError `INVENTORY_FAILED` where the source moves no disks itself */
export function transfersOf({ address, transfers }: InstanceSource): InstanceTransfers {
  if (transfers !== undefined) return transfers;
  throw new GantryError('INVENTORY_FAILED', {
    message: `${address} does not send or take the disks of instances itself`,
    hint: 'Run Gantry on the host that has the disks. ganeti://MASTER can be used from anywhere.',
  });
}
