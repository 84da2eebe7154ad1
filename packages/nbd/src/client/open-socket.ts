import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';

import { messageOf, NbdError } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';

/** Where a server listens: a unix socket, or a TCP port. */
export type NbdAddress = { readonly path: string } | { readonly host: string; readonly port?: number };

/** "Newstyle negotiation": reserved by IANA. */
const DEFAULT_PORT = 10_809;

export interface OpenSocket {
  readonly socket: Socket;
  readonly reader: ByteReader;
}

/** @throws NbdError `unreachable`; the signal's reason */
export async function openSocket(address: NbdAddress, signal: AbortSignal): Promise<OpenSocket> {
  signal.throwIfAborted();
  const reader = new ByteReader();
  const where = 'path' in address ? { path: address.path } : { host: address.host, port: address.port ?? DEFAULT_PORT, noDelay: true };
  const socket = connect({ ...where, onread: reader.onread });
  reader.attach(socket);
  try {
    await once(socket, 'connect', { signal });
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw new NbdError('unreachable', `cannot connect to ${showAddress(address)}: ${messageOf(error)}`, { cause: error });
  }
  const end = (error?: Error): void => {
    const why = error === undefined ? 'the NBD peer closed the connection' : `the NBD connection broke: ${error.message}`;
    reader.fail(new NbdError('disconnected', why, { cause: error }));
  };
  socket.on('error', end);
  socket.on('end', () => end());
  socket.on('close', () => end());
  return { socket, reader };
}

export function showAddress(address: NbdAddress): string {
  return 'path' in address ? address.path : `${address.host}:${address.port ?? DEFAULT_PORT}`;
}
