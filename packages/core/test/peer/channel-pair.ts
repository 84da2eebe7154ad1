import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { PeerChannel, PeerEnd } from '@gantry/transport';
import { streamChannel } from '@gantry/transport';

/** Both ends of a channel within this process. */
export interface ChannelPair {
  readonly source: PeerChannel;
  readonly receiver: PeerChannel;
  /** The receiver's end, for a test that plays the receiver, or cuts it. */
  readonly receiverStream: Duplex;
  readonly sourceStream: Duplex;
}

export function channelPair(): ChannelPair {
  const [here, there] = duplexPair();
  return { source: channelOf(here, 'peer'), receiver: channelOf(there, 'the source'), receiverStream: there, sourceStream: here };
}

/** A channel over one stream, and how its other end is said to have ended. */
export function channelOf(stream: Duplex, address: string, end: Partial<PeerEnd> = {}): PeerChannel {
  return streamChannel({
    address,
    input: stream,
    output: stream,
    ended: Promise.resolve({ exitCode: undefined, error: undefined, text: '', ...end }),
    close: async () => {
      stream.destroy();
    },
  });
}
