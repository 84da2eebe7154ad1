import type { OpenOptions } from '@gantry/transport';
import type { SshAddress } from './address.ts';
import { parseAddress } from './address.ts';
import type { AskPassphrase } from './auth/passphrases.ts';
import { Passphrases } from './auth/passphrases.ts';
import type { SshEngine } from './engine/channel.ts';
import { isSshUsable } from './engine/openssh/installed.ts';
import { OpensshEngine } from './engine/openssh/openssh-engine.ts';
import { SshStore } from './ssh-store.ts';

/** What a peer is opened with. */
export interface SshOpenOptions extends OpenOptions {
  /** Asks a human for the passphrase of a key file; without it, locked keys are opened by `GANTRY_SSH_PASSPHRASE` alone. */
  readonly askPassphrase?: AskPassphrase | undefined;
}

/** Opens the store that the address names, and connects. @throws StoreError `invalid-address`, `denied`, `unavailable` */
export async function openSshStore(address: URL, options: SshOpenOptions): Promise<SshStore> {
  const parsed = parseAddress(address);
  const store = new SshStore(await openEngine(parsed, options), parsed, options.warn);
  try {
    await store.connect({ signal: options.signal });
    return store;
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** A way to the peer: the engine that the address names, else the system's `ssh` where it serves. Connects only when used. */
export async function openEngine(address: SshAddress, options: SshOpenOptions): Promise<SshEngine> {
  const passphrases = new Passphrases(options.env, options.askPassphrase);
  if (address.engine !== 'ssh2') {
    const openssh = new OpensshEngine(address, options, passphrases);
    openssh.prepare();
    if (address.engine === 'openssh' || (await isSshUsable(options))) return openssh;
    await openssh[Symbol.asyncDispose]();
  }
  const { Ssh2Engine } = await import('./engine/ssh2/ssh2-engine.ts');
  return new Ssh2Engine(address, options, passphrases);
}
