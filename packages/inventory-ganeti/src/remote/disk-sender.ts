import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { connect as secureSocket } from 'node:tls';
import { errorText, InventoryError } from '@gantry/core/inventory';
import type { DiskPiece } from '@gantry/core/inventory';
import type { Identity } from './identity.ts';
import { isFrom, tlsOptions } from './identity.ts';
import { resetOnExit } from './reset-on-exit.ts';

/** Where Ganeti waits for the data of one disk. */
export interface DiskAddress {
  readonly host: string;
  readonly port: number;
  /** Shows that the data is that of this disk. */
  readonly magic: string;
}

export interface ConnectOptions {
  readonly identity: Identity;
  readonly peer: X509Certificate;
  readonly signal: AbortSignal;
}

const CONNECT_TIMEOUT_MS = 30_000;
const TICKET_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
const ZEROS = new Uint8Array(1024 * 1024);

class ConnectionBroken extends InventoryError {}

/** Bytes that begin the data on the line. */
export function magicOf(magic: string): Buffer {
  return Buffer.from(`M=${magic}`);
}

/**
 * The way of one disk's data to Ganeti's importer (`OPENSSL-LISTEN` of socat): TLS, the magic, the data, the end of TLS. The importer
 * takes any end of the connection but RST for the end of the data, so everything that is not finished ends with RST. It answers nothing:
 * that the data has arrived, only Ganeti's job says.
 */
export class DiskSender implements AsyncDisposable {
  readonly #tls: TLSSocket;
  readonly #magic: string;
  /** Resolved when the connection is over, in order or not: a write that is under way then may never be answered. */
  readonly #closed = Promise.withResolvers<void>();
  #failure: Error | undefined;

  private constructor(tls: TLSSocket, magic: string) {
    this.#tls = tls;
    this.#magic = magic;
    tls.on('error', (error) => this.#fail(error));
    tls.once('close', () => this.#closed.resolve());
  }

  /** @throws InventoryError `unavailable`, `denied` */
  static async connect(address: DiskAddress, { identity, peer, signal }: ConnectOptions): Promise<DiskSender> {
    const { host, port, magic } = address;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
    const raw = connectSocket({ host, port });
    raw.on('error', () => {});
    let tls: TLSSocket | undefined;
    try {
      await once(raw, 'connect', { signal: limit });
      resetOnExit(raw);
      raw.setKeepAlive(true, KEEP_ALIVE_MS);
      tls = secureSocket({ ...tlsOptions(identity, peer), socket: raw });
      await handshake(tls, limit);
      if (!isFrom(tls, peer)) {
        throw new InventoryError('denied', { message: `${host}:${port} has another certificate than the one that Ganeti signed` });
      }
      return new DiskSender(tls, magic);
    } catch (cause) {
      tls?.on('error', () => {});
      (tls ?? raw).destroy();
      signal.throwIfAborted();
      if (cause instanceof InventoryError) throw cause;
      const why = limit.aborted ? `no connection within ${CONNECT_TIMEOUT_MS / 1000} seconds` : errorText(cause);
      throw new InventoryError('unavailable', {
        message: `cannot connect to ${host}:${port}, where Ganeti waits for the data: ${why}`,
        hint: 'Gantry must be able to reach the nodes of the cluster on any port.',
        cause,
      });
    }
  }

  /**
   * Sends the magic, the data and its end. After a failure, the importer sees RST. (Not even the magic is sent before: an importer that has
   * it may miss an RST that comes too soon.)
   *
   * @throws what `pieces` throw; InventoryError `failed`
   */
  async send(pieces: AsyncIterable<DiskPiece>): Promise<void> {
    try {
      await this.#send(magicOf(this.#magic));
      for await (const piece of pieces) {
        if (piece instanceof Uint8Array) await this.#send(piece);
        else for (let left = piece.zeros; left > 0; left -= ZEROS.length) await this.#send(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
      }
      await this.#end();
    } catch (error) {
      this.reset();
      throw error;
    }
  }

  /** Whether that error says that the connection broke, not that its data failed. */
  isBroken(error: unknown): boolean {
    return error instanceof ConnectionBroken;
  }

  /** Ends the connection so that the importer fails, and `send` with it. Does nothing after the end of the data. */
  reset(): void {
    this.#fail(new Error('it was given up'));
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    // With RST, as for every end but the ordered one. (Node crashes where `resetAndDestroy` takes the socket from under its TLS.)
    this.#tls.destroy();
    this.#closed.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.reset();
    await Promise.resolve();
  }

  /** close_notify and FIN; the importer closes when it has passed everything on. */
  async #end(): Promise<void> {
    this.#tls.end();
    await this.#closed.promise;
    if (this.#failure !== undefined) throw this.#broken(this.#failure);
  }

  /** Resolves when the bytes are no longer needed. */
  async #send(bytes: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<'sent' | Error>();
    if (this.#tls.destroyed || !this.#tls.writable) throw this.#broken(this.#failure);
    this.#tls.write(bytes, (error) => resolve(error ?? 'sent'));
    const outcome = await Promise.race([promise, this.#closed.promise]);
    if (outcome !== 'sent') throw this.#broken(this.#failure ?? outcome);
  }

  #broken(cause: Error | void): ConnectionBroken {
    return new ConnectionBroken('failed', {
      message: `the connection to Ganeti's importer broke: ${cause === undefined ? 'it was closed' : errorText(cause)}`,
      cause,
    });
  }
}

/**
 * Waits until the other end has accepted our certificate: with TLS 1.3 that shows in the ticket which it sends then. (An importer that is
 * still in the handshake when the connection ends goes on listening.)
 */
async function handshake(tls: TLSSocket, signal: AbortSignal): Promise<void> {
  const ticket = once(tls, 'session', { signal: AbortSignal.any([signal, AbortSignal.timeout(TICKET_TIMEOUT_MS)]) });
  ticket.catch(() => {});
  await once(tls, 'secureConnect', { signal });
  // Ganeti sends no data, but tickets and its end of the connection are seen only by reading.
  tls.resume();
  if (tls.getProtocol() !== 'TLSv1.3') return;
  await ticket.catch((error: unknown) => {
    signal.throwIfAborted();
    // One that sends no tickets is taken to have accepted it.
    if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
  });
  // The event comes out of the middle of OpenSSL's reading, and writing there would break the connection.
  await nextTurn();
}
