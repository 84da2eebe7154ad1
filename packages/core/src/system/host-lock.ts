import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { errnoName } from './errno-name.ts';

/**
 * Takes a lock that only one holder on this host can have at a time, also for other users, without waiting. It is held until it is
 * disposed or the process ends: the address of an abstract Unix socket (unix(7)), which needs no file and no permission.
 *
 * Processes in another network namespace have locks of their own.
 *
 * @returns undefined if somebody holds it
 */
export async function tryHostLock(name: string): Promise<AsyncDisposable | undefined> {
  const server = createServer((socket) => socket.destroy());
  server.unref();
  server.listen(`\0gantry-lock-${createHash('sha256').update(name).digest('hex')}`);
  try {
    await once(server, 'listening');
  } catch (error) {
    if (errnoName(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}
