import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { Server as NetServer, Socket } from 'node:net';
import { createServer as createNetServer } from 'node:net';
import type { Duplex } from 'node:stream';

/** A server of a test, on loopback. */
export interface TestServer extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40001`. */
  readonly endpoint: string;
}

/** Answers HTTP, and `CONNECT` if given. For services that behave as no real one that we have. */
export function serve(listener: RequestListener, connected?: (request: IncomingMessage, client: Duplex) => void): Promise<TestServer> {
  const server = createServer(listener);
  const tunnels = new Set<Duplex>();
  if (connected !== undefined) {
    server.on('connect', (request, client) => {
      tunnels.add(client);
      connected(request, client);
    });
  }
  return listen(server, () => {
    server.closeAllConnections();
    for (const tunnel of tunnels) tunnel.destroy();
  });
}

/** Accepts connections, and passes them to `take`. */
export function serveTcp(take: (socket: Socket) => void): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createNetServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    take(socket);
  });
  return listen(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

async function listen(server: Server | NetServer, endConnections: () => void): Promise<TestServer> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  return {
    endpoint: `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      endConnections();
      await closed;
    },
  };
}
