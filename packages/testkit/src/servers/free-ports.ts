import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the range of ports for outgoing connections on Linux (ip_local_port_range), and above the well-known ones. */
const MIN_PORT = 12_000;
const MAX_PORT = 31_000;

/** Finds `count` consecutive free ports of 127.0.0.1. @returns the first */
export async function findFreePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const first = randomInt(MIN_PORT, MAX_PORT - count);
    if (await areFree(first, count)) return first;
  }
  throw new Error(`found no ${count} consecutive free ports on 127.0.0.1`);
}

async function areFree(first: number, count: number): Promise<boolean> {
  for (let port = first; port < first + count; port++) if (!(await isFree(port))) return false;
  return true;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
