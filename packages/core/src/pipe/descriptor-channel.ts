import { Socket } from 'node:net';
import type { PeerChannel } from '@gantry/transport';
import { streamChannel } from '@gantry/transport';
import { PipeReader } from '../os/pipe-reader.ts';

const READ_BYTES = 256 * 1024;

/**
 * A channel over two open pipes or sockets of this process, such as its standard input and output, to whoever holds the other ends.
 * The descriptors are owned. Never blocks the process, as writing to `process.stdout` can; and reads into one memory over and over,
 * since new memory for each read would keep the garbage collector busy.
 */
export function descriptorChannel(address: string, descriptors: { readonly input: number; readonly output: number }): PeerChannel {
  const reader = new PipeReader(descriptors.input, READ_BYTES);
  const output = new Socket({ fd: descriptors.output, readable: false, writable: true });
  return streamChannel({
    address,
    input: pull(reader),
    output,
    // Nobody tells how the other side ended.
    ended: Promise.resolve({ exitCode: undefined, error: undefined, text: '' }),
    close: async () => {
      reader.destroy();
      output.destroySoon();
    },
  });
}

async function* pull(reader: PipeReader): AsyncGenerator<Uint8Array, void, undefined> {
  for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) yield chunk;
}
