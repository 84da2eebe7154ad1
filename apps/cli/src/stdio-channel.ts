import { fstatSync } from 'node:fs';
import { GantryError, standardChannel } from '@gantry/core';
import type { PeerChannel } from '@gantry/transport';

/**
 * Standard input and output as a channel to whoever started this process.
 *
 * @throws GantryError `USAGE`
 */
export function stdioChannel(): PeerChannel {
  if ([0, 1].every(isPipe)) return standardChannel('the source');
  throw new GantryError('USAGE', {
    message: 'gantry receive talks to another gantry through its standard input and output, and these are no pipes',
    hint: 'It is run by gantry move, over SSH for instance, or by authorized_keys.',
  });
}

function isPipe(fd: number): boolean {
  const stats = fstatSync(fd);
  return stats.isFIFO() || stats.isSocket();
}
