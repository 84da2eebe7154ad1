import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import { createServer } from 'node:tls';
import type { CallOptions } from '@gantry/core/inventory';
import { errorText, InventoryError } from '@gantry/core/inventory';
import { magicOf } from './disk-sender.ts';
import type { Identity } from './identity.ts';
import { isFrom, tlsOptions } from './identity.ts';
import { orAbort } from './or-abort.ts';

export interface ListenOptions {
  readonly identity: Identity;
  readonly peer: X509Certificate;
  /** Of each disk, in order, all as long as the first; random, as each shows which disk a connection is for. */
  readonly magics: readonly string[];
  /** An address or name of this machine; if it is another's (such as that of a router that forwards the port), all addresses. */
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
  /** Called with what strangers who connect do. */
  readonly warn: (message: string) => void;
  readonly signal: AbortSignal;
}

/** How long a connection may take for the handshake and the magic, ms each. */
const GREETING_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_MS = 60_000;
/** Connections at once besides those of the disks. */
const SPARE_CONNECTIONS = 16;

/**
 * Takes the data of an instance's disks from Ganeti's exporter (`OPENSSL` of socat), on one port: the magic says for which disk a
 * connection is. **The end of a stream shows nothing**: whether the data is complete, only Ganeti's job says.
 */
export class DiskReceiver implements AsyncDisposable {
  readonly #server: Server;
  readonly #options: ListenOptions;
  readonly #sockets = new Set<TLSSocket>();
  readonly #arrivals: readonly PromiseWithResolvers<TLSSocket>[];
  readonly #taken = new Set<number>();
  #failure: unknown;

  private constructor(options: ListenOptions) {
    this.#options = options;
    const { identity, peer, magics } = options;
    this.#arrivals = magics.map(() => Promise.withResolvers<TLSSocket>());
    for (const { promise } of this.#arrivals) promise.catch(() => {});
    this.#server = createServer({ ...tlsOptions(identity, peer), requestCert: true, handshakeTimeout: GREETING_TIMEOUT_MS });
    this.#server.maxConnections = magics.length + SPARE_CONNECTIONS;
    this.#server.on('secureConnection', (socket) => void this.#greet(socket));
    this.#server.on('tlsClientError', ({ message }, socket) => {
      this.#options.warn(
        `a connection from ${socket.remoteAddress ?? 'an unknown address'} failed before it showed a certificate: ${message}`,
      );
    });
  }

  /** @throws InventoryError `unavailable` where nobody can listen there */
  static async listen(options: ListenOptions): Promise<DiskReceiver> {
    const receiver = new DiskReceiver(options);
    await receiver.#listen(options.host).catch(async (error: unknown) => {
      if (!isOfAnother(error)) throw asListenError(error, options);
      await receiver.#listen(undefined).catch((error: unknown) => {
        throw asListenError(error, options);
      });
    });
    receiver.#server.on('error', (error) => receiver.fail(error));
    return receiver;
  }

  get port(): number {
    const address: string | AddressInfo | null = this.#server.address();
    if (typeof address !== 'object' || address === null) throw new TypeError('not listening');
    return address.port;
  }

  /**
   * The data of one disk, as it comes; to be read once. It waits for the exporter to connect.
   *
   * @throws InventoryError `failed`; the reason of the signal
   */
  async *data(disk: number, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const arrival = this.#arrivals[disk];
    if (arrival === undefined) throw new RangeError(`there is no disk ${disk}`);
    const socket = await orAbort(arrival.promise, signal);
    const stop = (): void => void socket.destroy(new Error('aborted'));
    signal?.addEventListener('abort', stop, { once: true });
    try {
      signal?.throwIfAborted();
      yield* socket.iterator({ destroyOnReturn: false });
      // One that broke before it was read may end like any other.
      if (!socket.readableEnded || socket.errored !== null) throw socket.errored ?? new Error('it was closed');
    } catch (cause) {
      signal?.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      throw new InventoryError('failed', { message: `the connection with the data of disk ${disk} broke: ${errorText(cause)}`, cause });
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  /** Ends all streams with an error; those that have ended stay so. */
  fail(reason: unknown): void {
    this.#failure ??= reason;
    for (const { reject } of this.#arrivals) reject(this.#failure);
    for (const socket of this.#sockets) socket.destroy(new Error('failed'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { reject } of this.#arrivals) reject(new Error('no longer listening'));
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  async #listen(host: string | undefined): Promise<void> {
    const { port, signal } = this.#options;
    const listening = once(this.#server, 'listening', { signal });
    this.#server.listen(host === undefined ? { port } : { port, host });
    await listening;
  }

  /** A stranger costs its own connection, no more: the exporter may still come. */
  async #greet(socket: TLSSocket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    const from = socket.remoteAddress ?? 'an unknown address';
    const refuse = (why: string): void => {
      this.#options.warn(`refused a connection from ${from}: ${why}`);
      socket.destroy();
    };
    if (!isFrom(socket, this.#options.peer)) return refuse('it has another certificate than the one that Ganeti signed');
    const expected = this.#options.magics.map((magic) => magicOf(magic));
    const magic = await readMagic(socket, expected[0]?.length ?? 0);
    if (magic === undefined) return refuse('it ended, or was silent, before it said which disk it is for');
    const disk = expected.findIndex((bytes) => bytes.equals(magic));
    if (disk === -1 || this.#taken.has(disk))
      return refuse(disk === -1 ? 'it is for none of the disks (wrong magic)' : `disk ${disk} is connected already`);
    this.#taken.add(disk);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#arrivals[disk]?.resolve(socket);
  }
}

/** Undefined where the stream ends or stays silent before it has `length` bytes. */
async function readMagic(socket: TLSSocket, length: number): Promise<Buffer | undefined> {
  const signal = AbortSignal.timeout(GREETING_TIMEOUT_MS);
  try {
    for (;;) {
      const bytes: unknown = socket.read(length);
      if (bytes instanceof Buffer) return bytes.length === length ? bytes : undefined;
      if (socket.readableEnded || socket.destroyed) return undefined;
      await Promise.race([once(socket, 'readable', { signal }), once(socket, 'close', { signal })]);
    }
  } catch {
    return undefined;
  }
}

function isOfAnother(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRNOTAVAIL';
}

function asListenError(cause: unknown, { host, port }: ListenOptions): InventoryError {
  return new InventoryError('unavailable', {
    message: `cannot listen on ${host}:${port}: ${errorText(cause)}`,
    hint: 'Give an address of this machine with --listen.',
    cause,
  });
}
