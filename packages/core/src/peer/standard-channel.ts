import { Socket } from 'node:net';
import type { PeerChannel } from '@gantry/transport';
import { streamChannel } from '@gantry/transport';
import { PipeReader } from '../system/pipe-reader.ts';
import { closeEnds, openPipe, takeOver } from '../system/pipes.ts';

const READ_BYTES = 256 * 1024;

/**
 * A channel over this process's standard input and output, which may be pipes or sockets. From now on nothing else in this process can
 * use them: standard input reads as empty, and what is printed goes to stderr. Never blocks the process, as writing to `process.stdout`
 * can, and always reads into the same buffer, since a new one for each read would keep the garbage collector busy.
 */
export function standardChannel(address: string): PeerChannel {
  const reader = new PipeReader(takeStandardInput(), READ_BYTES);
  const output = new Socket({ fd: takeOver(1, 2), readable: false, writable: true });
  return streamChannel({
    address,
    input: pull(reader),
    output,
    // It is not known how the other side ended.
    ended: Promise.resolve({ exitCode: undefined, error: undefined, text: '' }),
    close: async () => {
      reader.destroy();
      output.destroySoon();
    },
  });
}

/** Replaces standard input by an empty pipe: if Node has opened it already, it cannot wait on anything but a pipe. */
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
