import { Socket } from 'node:net';
import type { PeerChannel } from '@gantry/transport';
import { streamChannel } from '@gantry/transport';
import { PipeReader } from '../system/pipe-reader.ts';
import { closeEnds, openPipe, takeOver } from '../system/pipes.ts';

const READ_BYTES = 256 * 1024;

/**
 * A channel over this process's standard input and output, to whoever holds the other ends: pipes or sockets. Nobody else gets at them
 * from now on: who reads standard input finds it at its end, and what is printed goes to stderr. Never blocks the process, as writing to
 * `process.stdout` can; and reads into one memory over and over, since new memory for each read would keep the garbage collector busy.
 */
export function standardChannel(address: string): PeerChannel {
  const reader = new PipeReader(takeStandardInput(), READ_BYTES);
  const output = new Socket({ fd: takeOver(1, 2), readable: false, writable: true });
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

/** Leaves a pipe without anything in it: Node, where it has opened standard input already, cannot wait for what is no pipe. */
function takeStandardInput(): number {
  const { readEnd, writeEnd } = openPipe();
  try {
    return takeOver(0, readEnd);
  } finally {
    closeEnds(readEnd, writeEnd);
  }
}

async function* pull(reader: PipeReader): AsyncGenerator<Uint8Array, void, undefined> {
  for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) yield chunk;
}
