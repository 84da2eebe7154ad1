import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';

export interface SilentServer extends AsyncDisposable {
  readonly port: number;
  /** Resolves when a client has connected. */
  readonly reached: Promise<unknown>;
}

/** Starts a TCP server on 127.0.0.1 that accepts connections, sends `greeting`, and then stays silent, or closes with `goodbye`. */
export async function startSilentServer(greeting = '', then: 'silence' | 'goodbye' = 'silence'): Promise<SilentServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.resume();
    socket.write(greeting);
    if (then === 'goodbye') socket.end();
  }).listen(0, '127.0.0.1');
  const reached = once(server, 'connection');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return {
    port: address.port,
    reached,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
