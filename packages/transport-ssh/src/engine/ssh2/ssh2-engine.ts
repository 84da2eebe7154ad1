import { orAbort } from '@gantry/transport';
import type { Duplex } from 'node:stream';
import type { SshAddress } from '../../address.ts';
import type { Passphrases } from '../../auth/passphrases.ts';
import { parseJump } from '../../config/jump.ts';
import type { LocalContext, PeerQuestion, PeerSettings } from '../../config/peer-settings.ts';
import { readPeerSettings } from '../../config/peer-settings.ts';
import type { ChannelRequest, SshChannel, SshEngine } from '../channel.ts';
import { PeerError } from '../peer-error.ts';
import { confirmedWithin, openClientChannel } from './client-channel.ts';
import type { ClientConnection } from './client-connection.ts';
import { connectClient } from './client-connection.ts';
import { explainForwardError } from './explain-error.ts';
import { ProxyCommand } from './proxy-command.ts';

/** Maximum number of jump hosts: more are probably a loop. */
const MAX_JUMPS = 8;

/** SSH in this process, in JavaScript: all channels share one connection, which is reopened if it was lost. */
export class Ssh2Engine implements SshEngine {
  readonly name = 'ssh2';
  readonly #address: SshAddress;
  readonly #local: LocalContext;
  readonly #passphrases: Passphrases;
  readonly #end = new AbortController();
  readonly #proxies = new Set<ProxyCommand>();
  #connection: Promise<ClientConnection> | undefined;

  constructor(address: SshAddress, local: LocalContext, passphrases: Passphrases) {
    this.#address = address;
    this.#local = local;
    this.#passphrases = passphrases;
  }

  async openChannel(request: ChannelRequest, { signal }: { readonly signal?: AbortSignal | undefined } = {}): Promise<SshChannel> {
    const connection = await orAbort(this.#connect(), signal);
    return orAbort(openClientChannel(connection, request, this.#address.connectTimeoutMs), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new PeerError('unavailable', { message: 'the connection was closed on this side' }));
    const connection = await this.#connection?.catch(() => undefined);
    if (connection !== undefined) await connection.end();
    await Promise.all([...this.#proxies].map((proxy) => proxy.end()));
  }

  /** The shared connection, reopened if it was lost. Concurrent callers share the attempt. */
  async #connect(): Promise<ClientConnection> {
    const before = this.#connection;
    const current = await before?.catch(() => undefined);
    this.#end.signal.throwIfAborted();
    if (current?.failure() === undefined && current !== undefined) return current;
    if (this.#connection === before) this.#connection = this.#connectTo(this.#address, undefined, 0);
    return this.#connection ?? this.#connect();
  }

  /** @param jumps the jump hosts, if they should not be taken from the configuration */
  async #connectTo(question: PeerQuestion, jumps: readonly string[] | undefined, depth: number): Promise<ClientConnection> {
    const settings = await readPeerSettings(question, this.#local);
    const proxy = jumps === undefined && settings.proxyCommand !== undefined ? await this.#startProxy(settings.proxyCommand) : undefined;
    const through = proxy?.stream ?? (await this.#jump(settings, jumps ?? settings.jumps, depth));
    const { connectTimeoutMs, keepAliveMs } = this.#address;
    // As in ssh, the address's policy for the peer does not apply to jump hosts.
    const hostKeys = depth === 0 ? this.#address.hostKeys : 'strict';
    const options = { hostKeys, connectTimeoutMs, keepAliveMs, passphrases: this.#passphrases, through };
    try {
      return await connectClient(settings, options, this.#end.signal);
    } catch (error) {
      through?.destroy();
      throw (await proxy?.explain(error)) ?? error;
    }
  }

  async #startProxy(command: string): Promise<ProxyCommand> {
    const proxy = await ProxyCommand.start(command, this.#local);
    this.#proxies.add(proxy);
    proxy.stream.once('close', () => void proxy.end().then(() => this.#proxies.delete(proxy)));
    if (this.#end.signal.aborted) await proxy.end();
    this.#end.signal.throwIfAborted();
    return proxy;
  }

  /** A stream to the peer through the last jump host, which may itself be behind others. */
  async #jump(settings: PeerSettings, jumps: readonly string[], depth: number): Promise<Duplex | undefined> {
    const last = jumps.at(-1);
    if (last === undefined) return undefined;
    if (depth >= MAX_JUMPS)
      throw new PeerError('invalid-address', {
        message: `cannot reach ${settings.hostName}: it is behind more than ${MAX_JUMPS} jump hosts`,
        hint: 'Correct ProxyJump in the ssh configuration.',
      });
    const { configFile } = this.#address;
    const question = { ...parseJump(last), configFile, identityFiles: [], knownHostsFiles: [] };
    const before = jumps.slice(0, -1);
    const gateway = await this.#connectTo(question, before.length === 0 ? undefined : before, depth + 1);
    const stream = await forward(gateway, settings, this.#address.connectTimeoutMs);
    stream.once('close', () => void gateway.end());
    return stream;
  }
}

async function forward(gateway: ClientConnection, { hostName, port }: PeerSettings, timeoutMs: number): Promise<Duplex> {
  const opened = Promise.withResolvers<Duplex>();
  gateway.client.forwardOut('127.0.0.1', 0, hostName, port, (error, channel) => {
    if (error === undefined || error === null) opened.resolve(channel);
    else opened.reject(explainForwardError(error));
  });
  try {
    return await confirmedWithin(timeoutMs, gateway, opened);
  } catch (error) {
    void gateway.end();
    throw error;
  }
}
