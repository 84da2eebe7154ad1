import type { Transport } from '@gantry/transport';
import { askOnTerminal } from './auth/ask-on-terminal.ts';
import { openSshPeer } from './open-peer.ts';
import { openSshStore } from './open.ts';

export type { SshOpenOptions } from './open.ts';
export { openSshPeer } from './open-peer.ts';
export { openSshStore } from './open.ts';
export { SshStore } from './ssh-store.ts';

/** Serves `ssh://[user@]host[:port]/DIRECTORY`, and `ssh://[user@]host[:port]` as a peer to move to; passphrases of keys are asked for on the terminal. */
const transport: Transport = {
  schemes: ['ssh'],
  // A lost session is reopened; the result of a call that was in progress cannot be known.
  retries: true,
  open: (address, options) => openSshStore(address, { ...options, askPassphrase: options.mayAsk === false ? undefined : askOnTerminal }),
  openPeer: (address, options) => openSshPeer(address, { ...options, askPassphrase: askOnTerminal }),
};

export default transport;
