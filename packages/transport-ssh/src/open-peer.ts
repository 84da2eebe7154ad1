import type { OpenPeerOptions, PeerChannel, PeerEnd } from '@gantry/transport';
import { StoreError, receiverCommand, streamChannel } from '@gantry/transport';
import type { SshAddress } from './address.ts';
import { parsePeerAddress } from './address.ts';
import type { ChannelEnd, SshChannel, SshEngine } from './engine/channel.ts';
import type { SshOpenOptions } from './open.ts';
import { openEngine } from './open.ts';
import { asStoreError } from './store/errors.ts';

/**
 * Runs `gantry receive` on a peer. The command is that and nothing else, or what the account's `authorized_keys` forces in its place.
 *
 * @throws StoreError `invalid-address`, `denied`, `unavailable`
 */
export async function openSshPeer(address: URL, options: OpenPeerOptions & SshOpenOptions): Promise<PeerChannel> {
  const parsed = parsePeerAddress(address);
  const command = receiverCommand(options.program);
  if (command === undefined) {
    throw new StoreError('invalid-address', {
      message: `${JSON.stringify(options.program)} cannot be the name of a program on ${peerName(parsed)}`,
      hint: 'Use a path of letters, digits and ._/+- alone: a shell reads it there.',
    });
  }
  const engine = await openEngine(parsed, options);
  try {
    return channelOf(engine, await engine.openChannel({ command }, { signal: options.signal }), parsed);
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw asStoreError(error, { doing: `connecting to ${peerName(parsed)}` });
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
  const failure = error === undefined ? undefined : asStoreError(error, { doing: `talking to ${name}` });
  return { exitCode, error: failure instanceof StoreError ? failure : undefined, text: stderr };
}

/** The address without its options. */
function peerName({ user, host, port }: SshAddress): string {
  const shown = host.includes(':') ? `[${host}]` : host;
  return `ssh://${user === undefined ? '' : `${user}@`}${shown}${port === undefined ? '' : `:${port}`}`;
}
