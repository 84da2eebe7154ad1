import { closeOnFailure } from '@gantry/transport';
import type { OpenOptions } from '@gantry/transport';
import type { SshAddress } from './address.ts';
import { parseAddress } from './address.ts';
import type { AskPassphrase } from './auth/passphrases.ts';
import { Passphrases } from './auth/passphrases.ts';
import type { SshEngine } from './engine/channel.ts';
import { isSshUsable } from './engine/openssh/installed.ts';
import { OpensshEngine } from './engine/openssh/openssh-engine.ts';
import { SshStore } from './ssh-store.ts';

/** Options for opening a store or a peer. */
export interface SshOpenOptions extends OpenOptions {
  /** Asks the user for the passphrase of a key file; without it, only `GANTRY_SSH_PASSPHRASE` opens locked keys. */
  readonly askPassphrase?: AskPassphrase | undefined;
}

/** Opens the store at the address, and connects. @throws StoreError `invalid-address`, `denied`, `unavailable` */
export async function openSshStore(address: URL, options: SshOpenOptions): Promise<SshStore> {
  const parsed = parseAddress(address);
  const store = new SshStore(await openEngine(parsed, options), parsed, options.warn);
  await closeOnFailure(
    () => store[Symbol.asyncDispose](),
    () => store.connect({ signal: options.signal }),
  );
  return store;
}

/** The engine that the address names, or else the system's `ssh` if it is recent enough. Connects only when used. */
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
