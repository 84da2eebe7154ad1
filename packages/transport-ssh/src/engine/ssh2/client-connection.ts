import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { once } from 'node:events';
import ssh2 from 'ssh2';
import type { Client, NextAuthHandler } from 'ssh2';
import type { HostKeyPolicy } from '../../address.ts';
import type { Passphrases } from '../../auth/passphrases.ts';
import type { PeerSettings } from '../../config/peer-settings.ts';
import { HostKeyCheck } from '../../trust/host-key-check.ts';
import type { KeyProblem } from '../../auth/key-problem.ts';
import { agentProblem, findKeyProblem, withKeyProblems } from '../../auth/key-problem.ts';
import { PeerError } from '../peer-error.ts';
import { algorithmsFor } from './algorithms.ts';
import { explainClientError, isHandshakeTimeout } from './explain-error.ts';
import { offerIdentities } from './identities.ts';

/** Further options of a connection. */
export interface ConnectionOptions {
  readonly hostKeys: HostKeyPolicy;
  readonly passphrases: Passphrases;
  readonly connectTimeoutMs: number;
  readonly keepAliveMs: number;
  /** A stream to the peer through another host; by default a TCP connection is made. */
  readonly through?: Duplex | undefined;
}

/** An open connection. */
export interface ClientConnection {
  readonly client: Client;
  /** Why it ended; undefined while it is open, and after a normal end. */
  readonly failure: () => PeerError | undefined;
  /** Resolves when it has ended. */
  readonly closed: Promise<void>;
  /** Ends it, and resolves when it has ended. */
  end(): Promise<void>;
}

/** How many unanswered keep-alive messages end a connection. */
const KEEP_ALIVE_TRIES = 3;

/** How long a peer may take to close a connection, ms. */
const END_PATIENCE_MS = 500;

/**
 * Connects, checks the host's key, and authenticates. Nothing is left open if it rejects.
 * @throws PeerError; the signal's reason
 */
export async function connectClient(settings: PeerSettings, options: ConnectionOptions, signal?: AbortSignal): Promise<ClientConnection> {
  signal?.throwIfAborted();
  const trust = await HostKeyCheck.load({
    host: settings.hostName,
    port: settings.port,
    alias: settings.hostKeyAlias,
    policy: options.hostKeys,
    userFiles: settings.userKnownHostsFiles,
    globalFiles: settings.globalKnownHostsFiles,
  });
  const socket = options.through ?? (await connectSocket(settings, options.connectTimeoutMs, signal));
  return new Handshake(settings, options, trust, socket).run(signal);
}

/** Turns a TCP connection into an authenticated SSH connection. */
class Handshake {
  readonly #settings: PeerSettings;
  readonly #options: ConnectionOptions;
  readonly #trust: HostKeyCheck;
  readonly #socket: Duplex;
  readonly #client = new ssh2.Client();
  readonly #ready = Promise.withResolvers<void>();
  readonly #unusedFiles: string[] = [];
  #agentProblem: KeyProblem | undefined;
  /** Whether the key exchange has finished. */
  #hasKeys = false;
  /** The first failure: later ones are its consequences. */
  #failure: PeerError | undefined;

  constructor(settings: PeerSettings, options: ConnectionOptions, trust: HostKeyCheck, socket: Duplex) {
    this.#settings = settings;
    this.#options = options;
    this.#trust = trust;
    this.#socket = socket;
  }

  async run(signal: AbortSignal | undefined): Promise<ClientConnection> {
    const client = this.#client;
    const closed = Promise.withResolvers<void>();
    const onAbort = (): void => this.#ready.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    client.on('handshake', () => {
      this.#hasKeys = true;
    });
    client.on('ready', () => this.#ready.resolve());
    client.on('error', (error: Error) => this.#onError(error));
    const onClose = (): void => {
      this.#fail(
        new PeerError('unavailable', { message: 'the connection was cut', hint: "Check the network and the log of the peer's sshd." }),
      );
      closed.resolve();
    };
    client.on('close', onClose);
    try {
      // The library does not notice a socket that was closed before it listens.
      if (this.#socket.destroyed) onClose();
      else this.#connect();
      await this.#ready.promise;
      const end = async (): Promise<void> => {
        client.end();
        // The library waits for the peer to close, which a hanging peer never does.
        const patience = setTimeout(() => this.#socket.destroy(), END_PATIENCE_MS);
        await closed.promise;
        clearTimeout(patience);
      };
      return { client, closed: closed.promise, failure: () => this.#failure, end };
    } catch (error) {
      client.destroy();
      this.#socket.destroy();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #connect(): void {
    const identities = offerIdentities(this.#settings, this.#options.passphrases, this.#unusedFiles);
    this.#client.connect({
      sock: this.#socket,
      username: this.#settings.user,
      readyTimeout: this.#options.connectTimeoutMs,
      keepaliveInterval: this.#options.keepAliveMs,
      keepaliveCountMax: KEEP_ALIVE_TRIES,
      algorithms: algorithmsFor(this.#trust.knownTypes),
      hostVerifier: (key: Buffer, verify: (trusted: boolean) => void): void => void this.#verify(key, verify),
      authHandler: (methodsLeft, _partial, offer): void => void this.#offer(identities, methodsLeft, offer),
    });
  }

  async #offer(
    identities: ReturnType<typeof offerIdentities>,
    methodsLeft: readonly string[] | null,
    offer: NextAuthHandler,
  ): Promise<void> {
    try {
      const { value } = await identities.next();
      if (value === undefined) this.#fail(await this.#refusal(methodsLeft));
      else offer(value);
    } catch (error) {
      this.#fail(explainClientError(error));
    }
  }

  async #refusal(methodsLeft: readonly string[] | null): Promise<PeerError> {
    const { identitiesNamed } = this.#settings;
    const passphrase = this.#options.passphrases.given;
    const problems = await Promise.all(this.#unusedFiles.map((path) => findKeyProblem(path, { passphrase, isStrict: false })));
    const relevant = problems.filter((problem) => problem?.isAbsent !== true || identitiesNamed);
    return withKeyProblems(refused(methodsLeft), [...relevant, this.#agentProblem]);
  }

  async #verify(key: Buffer, verify: (trusted: boolean) => void): Promise<void> {
    try {
      await this.#trust.assertTrusted(key);
      verify(true);
    } catch (error) {
      this.#fail(explainClientError(error));
      verify(false);
    }
  }

  #onError(error: Error): void {
    // If the agent cannot be used, the next way to authenticate is tried.
    if ('level' in error && error.level === 'agent') {
      this.#agentProblem = agentProblem(error.message);
      return;
    }
    this.#fail(isHandshakeTimeout(error) ? this.#tooSlow(error) : explainClientError(error));
  }

  #tooSlow(cause: Error): PeerError {
    const isSilent = 'bytesRead' in this.#socket && this.#socket.bytesRead === 0;
    const early = isSilent ? 'accepts connections, but did not answer' : 'did not finish the key exchange';
    return new PeerError('unavailable', {
      message: `the peer ${this.#hasKeys ? 'did not finish the login' : early} within ${this.#options.connectTimeoutMs / 1000} s`,
      hint: 'Look at the peer; ?connectTimeout=SECONDS allows more.',
      cause,
    });
  }

  #fail(failure: PeerError): void {
    this.#failure ??= failure;
    this.#ready.reject(this.#failure);
  }
}

async function connectSocket({ hostName, port }: PeerSettings, timeoutMs: number, signal: AbortSignal | undefined): Promise<Duplex> {
  if (/^fe80:[^%]*$/i.test(hostName))
    throw new PeerError('unavailable', {
      message: 'the address is link-local and lacks its interface',
      hint: 'A link-local address needs its interface: [fe80::1%eth0].',
    });
  const patience = AbortSignal.timeout(timeoutMs);
  const socket = connect({ host: hostName, port, noDelay: true });
  try {
    await once(socket, 'connect', { signal: signal === undefined ? patience : AbortSignal.any([signal, patience]) });
    return socket;
  } catch (error) {
    socket.destroy();
    signal?.throwIfAborted();
    if (patience.aborted)
      throw new PeerError('unavailable', {
        message: `the peer did not answer within ${timeoutMs / 1000} s`,
        hint: 'Check the host, the network and firewalls.',
      });
    throw explainClientError(error);
  }
}

function refused(methodsLeft: readonly string[] | null): PeerError {
  return new PeerError('denied', {
    message: `the peer accepted no key${methodsLeft === null ? '' : ` (it allows: ${methodsLeft.join(',')})`}`,
    hint: "Add the public key to the account's authorized_keys, load the key into the agent, or give it with ?identity=FILE; GANTRY_SSH_PASSPHRASE opens a locked key.",
  });
}
