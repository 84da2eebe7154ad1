import type { OpenPeerOptions, PeerChannel, PeerEnd } from '@gantry/transport';
import { StoreError, closeOnFailure, receiverCommand, streamChannel } from '@gantry/transport';
import type { SshAddress } from './address.ts';
import { parsePeerAddress } from './address.ts';
import type { ChannelEnd, SshChannel, SshEngine } from './engine/channel.ts';
import type { SshOpenOptions } from './open.ts';
import { openEngine } from './open.ts';
import { asStoreError } from './store/errors.ts';

/**
 * Runs `gantry receive` on a peer: exactly that command, or the one that the account's `authorized_keys` forces instead.
 *
 * @throws StoreError `invalid-address`, `denied`, `unavailable`
 */
export async function openSshPeer(address: URL, options: OpenPeerOptions & SshOpenOptions): Promise<PeerChannel> {
  const parsed = parsePeerAddress(address);
  const command = receiverCommand(options.program);
  if (command === undefined) {
    throw new StoreError('invalid-address', {
      message: `cannot run ${JSON.stringify(options.program)} on ${peerName(parsed)}: it has characters that a shell would interpret`,
      hint: 'Use a path of only letters, digits and ._/+-.',
    });
  }
  const engine = await openEngine(parsed, options);
  const close = (): PromiseLike<void> => engine[Symbol.asyncDispose]();
  try {
    const channel = await closeOnFailure(close, () => engine.openChannel({ command }, { signal: options.signal }));
    return channelOf(engine, channel, parsed);
  } catch (error) {
    throw asStoreError(error, `cannot connect to ${peerName(parsed)}`);
  }
}

function channelOf(engine: SshEngine, channel: SshChannel, address: SshAddress): PeerChannel {
  const name = peerName(address);
  return streamChannel({
    address: name,
    input: channel.output,
    output: channel.input,
    ended: channel.ended.then((end) => describeEnd(end, name)),
    close: async () => {
      await channel[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  });
}

function describeEnd({ exitCode, error, stderr }: ChannelEnd, name: string): PeerEnd {
  const failure = error === undefined ? undefined : asStoreError(error, `the connection to ${name} failed`);
  return { exitCode, error: failure instanceof StoreError ? failure : undefined, text: stderr };
}

/** The address without its options. */
function peerName({ user, host, port }: SshAddress): string {
  const shown = host.includes(':') ? `[${host}]` : host;
  return `ssh://${user === undefined ? '' : `${user}@`}${shown}${port === undefined ? '' : `:${port}`}`;
}
