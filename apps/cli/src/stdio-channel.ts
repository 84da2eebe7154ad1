import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { GantryError } from '@gantry/core';
import type { PeerChannel } from '@gantry/transport';
import { streamChannel } from '@gantry/transport';

/**
 * Standard input and output as a channel to whoever started this process. Not `process.stdin` and `process.stdout`: writing to the
 * latter can block the whole process.
 *
 * @throws GantryError `USAGE`
 */
export function stdioChannel(): PeerChannel {
  if (![0, 1].every(isPipe)) {
    throw new GantryError('USAGE', {
      message: 'gantry receive talks to another gantry through its standard input and output, and these are no pipes',
      hint: 'It is run by gantry move, over SSH for instance, or by authorized_keys.',
    });
  }
  const input = new Socket({ fd: 0, readable: true, writable: false });
  const output = new Socket({ fd: 1, readable: false, writable: true });
  return streamChannel({
    address: 'the source',
    input,
    output,
    // Nobody tells how the other side ended.
    ended: Promise.resolve({ exitCode: undefined, error: undefined, text: '' }),
    close: async () => {
      input.destroy();
      output.destroySoon();
    },
  });
}

function isPipe(fd: number): boolean {
  const stats = fstatSync(fd);
  return stats.isFIFO() || stats.isSocket();
}
