import type { PeerChannel } from '@gantry/transport';
import type { Faults } from './faults.ts';
import { afterWork, beforeWork, faultedBody } from './faults.ts';

/** A channel with a fault at one of its writes, or at a byte of what goes through it, and the same as the given one otherwise. */
export function faultedChannel(channel: PeerChannel, faults: Faults): PeerChannel {
  // What broke stays broken, and the other side sees that.
  const breaking = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      await channel[Symbol.asyncDispose]();
      throw error;
    }
  };
  return {
    address: channel.address,
    ended: channel.ended,
    input: input(channel, faults),
    write: (parts, options) =>
      breaking(async () => {
        const name = 'write to the peer';
        const { call, fault } = faults.next(name, 'adds');
        const signal = options?.signal ?? faults.signal;
        await beforeWork(faults, fault, { name, effect: 'adds', signal });
        for await (const part of faultedBody(asynchronously(parts), { faults, call, fault, signal })) await channel.write([part], options);
        await afterWork(faults, call, fault);
      }),
    [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose](),
  };
}

async function* asynchronously(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function* input(channel: PeerChannel, faults: Faults): AsyncGenerator<Uint8Array> {
  const name = 'read from the peer';
  const { call, fault } = faults.next(name, 'reads');
  const { signal } = faults;
  try {
    await beforeWork(faults, fault, { name, effect: 'reads', signal });
    yield* faultedBody(channel.input, { faults, call, fault, signal });
  } catch (error) {
    await channel[Symbol.asyncDispose]();
    throw error;
  }
}
