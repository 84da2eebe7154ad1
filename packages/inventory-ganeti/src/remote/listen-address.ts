import { once } from 'node:events';
import { connect, isIP } from 'node:net';
import type { CallOptions } from '@gantry/core/inventory';
import { errorText, InventoryError } from '@gantry/core/inventory';

/** Where the nodes of a cluster connect to. */
export interface ListenAddress {
  /** A name or an address, of this host or of what forwards to it. */
  readonly host: string;
  /** 0 for any. */
  readonly port: number;
}

/** `host`, `host:port`, `address`, `[address]:port`. @throws InventoryError `invalid-address` */
export function parseListenAddress(text: string): ListenAddress {
  if (isIP(text) === 6) return { host: text, port: 0 };
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const isHost = bracketed === undefined ? /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(host) : isIP(host) === 6;
  if (isHost && Number(port ?? 0) <= 65_535) return { host, port: Number(port ?? 0) };
  throw new InventoryError('invalid-address', {
    message: `${JSON.stringify(text)} is not an address to listen on`,
    hint: 'Give a host name or an IP address, with a port behind a colon if need be, such as 192.0.2.7:7000 or [2001:db8::7]:7000.',
  });
}

const CONNECT_TIMEOUT_MS = 30_000;

/** The address of this host from which it reaches another one. @throws InventoryError `unavailable` */
export async function addressTowards(host: string, port: number, { signal }: CallOptions = {}): Promise<string> {
  const limit = AbortSignal.any([AbortSignal.timeout(CONNECT_TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]);
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect', { signal: limit });
    // An IPv4 address on a socket for both.
    return (socket.localAddress ?? '').replace(/^::ffff:/i, '');
  } catch (cause) {
    signal?.throwIfAborted();
    throw new InventoryError('unavailable', { message: `cannot reach ${host}:${port}: ${errorText(cause)}`, cause });
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}
