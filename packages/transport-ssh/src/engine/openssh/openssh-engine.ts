import { orAbort } from '@gantry/transport';
import type { SshAddress } from '../../address.ts';
import type { Passphrases } from '../../auth/passphrases.ts';
import type { LocalContext } from '../../config/peer-settings.ts';
import type { ChannelRequest, SshChannel, SshEngine } from '../channel.ts';
import type { Launch } from '../local-program.ts';
import { loadLaunch } from '../local-program.ts';
import { PeerError } from '../peer-error.ts';
import { askProgram } from './ask-program.ts';
import type { KeyPassphrase } from './askpass.ts';
import { askpassEnvironment } from './askpass.ts';
import { childEnvironment } from './child-environment.ts';
import type { EffectiveSettings } from './effective-settings.ts';
import { parseEffectiveSettings } from './effective-settings.ts';
import { explainSlowness, explainStderr, isRefusal } from './explain-stderr.ts';
import { peerArguments, sshArguments } from './ssh-arguments.ts';
import { SshProcess } from './ssh-process.ts';

/** The preparations that the first channel waits for. */
interface Ready {
  readonly launch: Launch;
  /** The settings of ssh for the address and its configuration files. */
  readonly settings: EffectiveSettings;
}

/** SSH with the system's own `ssh`: one process and connection per channel. */
export class OpensshEngine implements SshEngine {
  readonly name = 'openssh';
  readonly #address: SshAddress;
  readonly #env: Readonly<Record<string, string>>;
  readonly #passphrases: Passphrases;
  readonly #cwd: string;
  readonly #processes = new Set<SshProcess>();
  #passphrase: KeyPassphrase | undefined;
  #ready: Promise<Ready> | undefined;
  readonly #end = new AbortController();

  constructor(address: SshAddress, local: LocalContext, passphrases: Passphrases) {
    this.#address = address;
    this.#env = childEnvironment(local.env);
    this.#passphrases = passphrases;
    this.#cwd = local.cwd;
    this.#passphrase = passphrases.given === undefined ? undefined : { passphrase: passphrases.given, keyFile: undefined };
  }

  /** Starts the preparations for the first channel. */
  prepare(): void {
    this.#getReady().catch(() => undefined);
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
    this.#end.abort(new PeerError('unavailable', { message: 'the connection was closed on this side' }));
    await Promise.all([this.#ready?.catch(() => undefined), ...[...this.#processes].map((process) => process.kill())]);
  }

  async #start(request: ChannelRequest, signal: AbortSignal | undefined): Promise<SshProcess> {
    const { launch, settings } = await orAbort(this.#getReady(), signal);
    this.#end.signal.throwIfAborted();
    const args = sshArguments(this.#address, request, { mayAsk: this.#passphrase !== undefined, ciphers: settings.ciphers });
    const env = { ...this.#env, ...askpassEnvironment(this.#passphrase) };
    const process = new SshProcess(launch('ssh', args, { cwd: this.#cwd, env }), (stderr) => this.#explain(stderr));
    this.#processes.add(process);
    void process.ended.then(() => this.#processes.delete(process));
    const patience = setTimeout(() => void process.kill(this.#tooSlow(process.stderrText)), this.#address.connectTimeoutMs);
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

  async #explain(stderr: string): Promise<PeerError> {
    const error = explainStderr(stderr);
    if (!isRefusal(stderr)) return error;
    // This loads ssh2, which reads keys.
    const { explainRefusal } = await import('./explain-refusal.ts');
    const { launch, settings } = await this.#getReady();
    const { identityFiles: namedFiles } = this.#address;
    const options = { cwd: this.#cwd, env: this.#env };
    return explainRefusal(error, { stderr, settings, namedFiles, passphrase: this.#passphrase?.passphrase, launch, options });
  }

  #tooSlow(stderr: string): PeerError {
    return new PeerError('unavailable', {
      message: `${explainSlowness(stderr)} within ${this.#address.connectTimeoutMs / 1000} s`,
      hint: 'Check the network and the peer; ?connectTimeout=SECONDS allows more time.',
    });
  }

  #getReady(): Promise<Ready> {
    this.#ready ??= this.#prepare();
    return this.#ready;
  }

  async #prepare(): Promise<Ready> {
    const launch = await loadLaunch();
    const { connectTimeoutMs: timeoutMs } = this.#address;
    const args = ['-G', ...peerArguments(this.#address), '--', this.#address.host];
    const { stdout, timedOut } = await askProgram(launch, 'ssh', args, {
      cwd: this.#cwd,
      env: this.#env,
      timeoutMs,
      signal: this.#end.signal,
    });
    if (timedOut)
      throw new PeerError('unavailable', {
        message: `ssh did not finish reading its configuration within ${timeoutMs / 1000} s`,
        hint: 'Check the commands of Match exec in it; ?connectTimeout=SECONDS allows more time.',
      });
    // If it fails, the connection fails for the same reason, with a message.
    return { launch, settings: parseEffectiveSettings(stdout) };
  }

  async #askForLockedKey(): Promise<KeyPassphrase | undefined> {
    // This loads ssh2, which is rarely needed.
    const { isLocked } = await import('../../auth/key-file.ts');
    const { settings } = await this.#getReady();
    for (const keyFile of settings.identityFiles) {
      if (!(await isLocked(keyFile))) continue;
      const passphrase = await this.#passphrases.of(keyFile);
      return passphrase === undefined ? undefined : { passphrase, keyFile };
    }
    return undefined;
  }
}
