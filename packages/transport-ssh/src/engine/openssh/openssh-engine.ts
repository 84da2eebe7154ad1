import { orAbort } from '@gantry/transport';
import type { SshAddress } from '../../address.ts';
import type { Passphrases } from '../../auth/passphrases.ts';
import type { LocalSurroundings } from '../../config/peer-settings.ts';
import type { ChannelRequest, SshChannel, SshEngine } from '../channel.ts';
import { PeerError } from '../peer-error.ts';
import { askSsh } from './ask-ssh.ts';
import { askpassEnvironment } from './askpass.ts';
import { childEnvironment } from './child-environment.ts';
import type { EffectiveSettings } from './effective-settings.ts';
import { parseEffectiveSettings } from './effective-settings.ts';
import { peerArguments, sshArguments } from './ssh-arguments.ts';
import { SshProcess } from './ssh-process.ts';

/** SSH by the system's own `ssh`: a process, and a connection, for each channel. */
export class OpensshEngine implements SshEngine {
  readonly name = 'openssh';
  readonly #address: SshAddress;
  readonly #env: Readonly<Record<string, string>>;
  readonly #passphrases: Passphrases;
  readonly #processes = new Set<SshProcess>();
  #passphrase: string | undefined;
  #settings: Promise<EffectiveSettings> | undefined;

  constructor(address: SshAddress, local: LocalSurroundings, passphrases: Passphrases) {
    this.#address = address;
    this.#env = childEnvironment(local.env);
    this.#passphrases = passphrases;
    this.#passphrase = passphrases.given;
  }

  /** Asks `ssh` now for what the first channel will wait for. */
  prepare(): void {
    void this.#readSettings();
  }

  async openChannel(request: ChannelRequest, { signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<SshChannel> {
    signal?.throwIfAborted();
    try {
      return await this.#start(request, signal);
    } catch (error) {
      if (!(error instanceof PeerError) || error.code !== 'denied' || this.#passphrase !== undefined) throw error;
      this.#passphrase = await orAbort(this.#askForLockedKey(), signal);
      if (this.#passphrase === undefined) throw error;
      return this.#start(request, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#processes].map((process) => process.kill()));
  }

  async #start(request: ChannelRequest, signal: AbortSignal | undefined): Promise<SshProcess> {
    const { ciphers } = await orAbort(this.#readSettings(), signal);
    const mayAsk = this.#passphrase !== undefined;
    const env = this.#passphrase === undefined ? this.#env : { ...this.#env, ...askpassEnvironment(this.#passphrase) };
    const process = new SshProcess(sshArguments(this.#address, request, { mayAsk, ciphers }), env);
    this.#processes.add(process);
    void process.ended.then(() => this.#processes.delete(process));
    const patience = setTimeout(() => void process.kill(this.#tooSlow()), this.#address.connectTimeoutMs);
    try {
      await orAbort(process.authenticated, signal);
      return process;
    } catch (error) {
      void process.kill();
      throw error;
    } finally {
      clearTimeout(patience);
    }
  }

  #tooSlow(): PeerError {
    return new PeerError('unavailable', {
      message: `the peer did not let us in within ${this.#address.connectTimeoutMs / 1000} s`,
      hint: 'Look at the network and the peer; ?connectTimeout=SECONDS allows more.',
    });
  }

  /** What ssh makes of the address and its configuration files, asked once. */
  #readSettings(): Promise<EffectiveSettings> {
    this.#settings ??= this.#askSettings();
    return this.#settings;
  }

  async #askSettings(): Promise<EffectiveSettings> {
    const args = ['-G', ...peerArguments(this.#address), '--', this.#address.host];
    const { stdout } = await askSsh(args, this.#env);
    // Where it fails, the connection fails for the same reason, and says why.
    return parseEffectiveSettings(stdout);
  }

  async #askForLockedKey(): Promise<string | undefined> {
    // Loads ssh2, for which there is seldom a use.
    const { isLocked } = await import('../../auth/key-file.ts');
    for (const path of (await this.#readSettings()).identityFiles) {
      if (await isLocked(path)) return this.#passphrases.of(path);
    }
    return undefined;
  }
}
