import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import type { ListenOptions, Server } from 'node:net';
import { createServer } from 'node:net';

/** Below the range of ports for outgoing connections on Linux (ip_local_port_range), and above the well-known ones. */
const MIN_PORT = 12_000;
const MAX_PORT = 31_000;

/**
 * Finds `count` consecutive free ports of 127.0.0.1. They belong to this process until it ends: no other process of the tests gets them,
 * though a server that is killed, or starts late, does not listen on them. @returns the first
 */
export async function findFreePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const first = randomInt(MIN_PORT, MAX_PORT - count);
    if (await claim(first, count)) return first;
  }
  throw new Error(`found no ${count} consecutive free ports on 127.0.0.1`);
}

async function claim(first: number, count: number): Promise<boolean> {
  const claims = [];
  for (let port = first; port < first + count; port++) {
    // An abstract socket (unix(7)): the kernel lets one process have the name, and forgets it with the process.
    const name = await listening({ path: `\0gantry-test-port-${port}` });
    const server = name && (await listening({ port, host: '127.0.0.1' }));
    server?.close();
    if (name !== undefined) claims.push(name);
    if (server === undefined) {
      for (const claim of claims) claim.close();
      return false;
    }
  }
  for (const claim of claims) claim.unref();
  return true;
}

async function listening(where: ListenOptions): Promise<Server | undefined> {
  const server = createServer();
  try {
    server.listen(where);
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}
