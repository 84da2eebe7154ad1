import { fstatSync } from 'node:fs';
import { GantryError, standardChannel } from '@gantry/core';
import type { PeerChannel } from '@gantry/transport';

/**
 * Standard input and output as a channel to the program that started this process.
 *
 * @throws GantryError `USAGE`
 */
export function stdioChannel(): PeerChannel {
  if ([0, 1].every(isPipe)) return standardChannel('the source');
  throw new GantryError('USAGE', {
    message: 'cannot receive: standard input and output are not pipes to another gantry',
    hint: 'gantry receive is started by gantry move, over SSH for example, or as a forced command in authorized_keys.',
  });
}

function isPipe(fd: number): boolean {
  const stats = fstatSync(fd);
  return stats.isFIFO() || stats.isSocket();
}
