import type { Buffer } from 'node:buffer';
import type { AnyAuthMethod, IdentityCallback, ParsedKey } from 'ssh2';
import ssh2 from 'ssh2';
import { openKeyFile, readPublicKey } from '../../auth/key-file.ts';
import type { Passphrases } from '../../auth/passphrases.ts';
import type { PeerSettings } from '../../config/peer-settings.ts';

/**
 * The identities to offer to a peer, in order: the agent's keys first, because they need no passphrase, then the key files. With
 * `IdentitiesOnly` the agent offers only keys that a key file names.
 *
 * @param unused receives the key files that cannot be offered
 */
export async function* offerIdentities(
  settings: PeerSettings,
  passphrases: Passphrases,
  unused: string[],
): AsyncGenerator<AnyAuthMethod, undefined> {
  const username = settings.user;
  if (settings.agentSocket !== undefined) {
    const named = settings.identitiesOnly ? await Promise.all(settings.identityFiles.map(readPublicKey)) : undefined;
    yield { type: 'agent', username, agent: new Agent(settings.agentSocket, named) };
  }
  for (const path of settings.identityFiles) {
    const key = await openKeyFile(path, passphrases);
    if (key === undefined) unused.push(path);
    else yield { type: 'publickey', username, key };
  }
  return undefined;
}

/** An agent that offers all of its keys, or only the named ones. */
class Agent extends ssh2.OpenSSHAgent {
  readonly #named: readonly (Buffer | undefined)[] | undefined;

  constructor(socketPath: string, named: readonly (Buffer | undefined)[] | undefined) {
    super(socketPath);
    this.#named = named;
  }

  override getIdentities(callback: IdentityCallback<ParsedKey>): void {
    super.getIdentities((error, keys) =>
      callback(
        error,
        keys?.filter((key): key is ParsedKey => 'sign' in key && this.#shows(key)),
      ),
    );
  }

  #shows(key: ParsedKey): boolean {
    return this.#named === undefined || this.#named.some((named) => named?.equals(key.getPublicSSH()) === true);
  }
}
