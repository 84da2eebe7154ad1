import type { Readable, Writable } from 'node:stream';
import type { Client, ClientChannel as Channel } from 'ssh2';
import type { ChannelEnd, ChannelRequest, SshChannel } from '../channel.ts';
import { PeerError } from '../peer-error.ts';
import { TextTail } from '../text-tail.ts';
import type { ClientConnection } from './client-connection.ts';
import { explainClientError } from './explain-error.ts';

/** How long the peer may take to confirm that a channel is closed, ms; after that, its connection is closed. */
const CLOSE_PATIENCE_MS = 1000;

/** Opens a channel in an open connection. @throws PeerError */
export async function openClientChannel(connection: ClientConnection, request: ChannelRequest, timeoutMs: number): Promise<SshChannel> {
  const opened = Promise.withResolvers<SshChannel>();
  const onOpened = (error: Error | undefined, channel: Channel): void => {
    // At once: the exit status of a program that ends immediately may be in the packet after this one.
    if (error === undefined || error === null) opened.resolve(new ClientChannel(connection, channel));
    else opened.reject(explainClientError(error));
  };
  ask(connection.client, request, onOpened);
  return await confirmedWithin(timeoutMs, connection, opened);
}

/** Waits until the peer has opened a channel. If it does not answer, its connection is closed. @throws PeerError */
export async function confirmedWithin<T>(timeoutMs: number, connection: ClientConnection, opened: PromiseWithResolvers<T>): Promise<T> {
  // The library does not call back if the connection ends before the channel is open.
  void connection.closed.then(() => opened.reject(connection.failure()));
  const patience = setTimeout(() => {
    opened.reject(
      new PeerError('unavailable', {
        message: `the peer opened no channel within ${timeoutMs / 1000} s`,
        hint: 'Check the peer; ?connectTimeout=SECONDS allows more time.',
      }),
    );
    void connection.end();
  }, timeoutMs);
  try {
    return await opened.promise;
  } finally {
    clearTimeout(patience);
  }
}

function ask(client: Client, request: ChannelRequest, onOpened: (error: Error | undefined, channel: Channel) => void): void {
  try {
    if ('subsystem' in request) client.subsys(request.subsystem, onOpened);
    else client.exec(request.command, onOpened);
  } catch (error) {
    throw explainClientError(error);
  }
}

class ClientChannel implements SshChannel {
  readonly input: Writable;
  readonly output: Readable;
  readonly ended: Promise<ChannelEnd>;
  readonly #connection: ClientConnection;
  readonly #channel: Channel;
  readonly #stderr = new TextTail();

  constructor(connection: ClientConnection, channel: Channel) {
    this.#connection = connection;
    this.#channel = channel;
    this.input = channel;
    this.output = channel;
    const ended = Promise.withResolvers<ChannelEnd>();
    this.ended = ended.promise;
    let exitCode: number | undefined;
    channel.on('error', () => undefined);
    channel.on('exit', (code: unknown) => {
      exitCode = typeof code === 'number' ? code : undefined;
    });
    channel.stderr.on('data', (chunk: Buffer) => this.#stderr.add(chunk));
    channel.stderr.on('error', () => undefined);
    const end = (): void => ended.resolve({ exitCode, error: connection.failure(), stderr: this.#stderr.text });
    channel.on('close', end);
    void connection.closed.then(end);
  }

  /** The library owns the memory. */
  release(): void {}

  async [Symbol.asyncDispose](): Promise<void> {
    this.#channel.destroy();
    this.#channel.resume();
    const patience = setTimeout(() => void this.#connection.end(), CLOSE_PATIENCE_MS);
    await this.ended;
    clearTimeout(patience);
  }
}
