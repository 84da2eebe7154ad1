import { once } from 'node:events';
import type { ListenOptions, NetConnectOpts, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** A port of 127.0.0.1 that leads to a socket in the file system. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
}

/** Starts one; it ends with this process. */
export async function startRelay(socketPath: string): Promise<Relay> {
  const { server, owned } = await relay({ host: '127.0.0.1', port: 0 }, { path: socketPath });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no port');
  return { port: address.port, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

/** Makes a socket in the file system that leads to a port of 127.0.0.1: for a system in a network of its own. It ends with this process. */
export async function startSocketRelay(socketPath: string, port: number): Promise<AsyncDisposable> {
  const { owned } = await relay({ path: socketPath, writableAll: true }, { host: '127.0.0.1', port });
  return owned;
}

async function relay(from: ListenOptions, to: NetConnectOpts): Promise<{ readonly server: Server; readonly owned: AsyncDisposable }> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const target = connect({ ...to, allowHalfOpen: true });
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      open.add(one);
      one.pipe(other);
      one.once('error', () => other.destroy());
      one.once('close', () => open.delete(one));
    }
  });
  server.listen(from);
  await once(server, 'listening');
  const owned = {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return { server, owned };
}
