import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the range from which Linux takes ports for outgoing connections (ip_local_port_range), and above the well-known ones. */
const LOWEST = 12_000;
const HIGHEST = 31_000;

/** Finds `count` consecutive ports of 127.0.0.1 on which nothing listens, and gives the first. */
export async function findFreePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const first = randomInt(LOWEST, HIGHEST - count);
    if (await areFree(first, count)) return first;
  }
  throw new Error(`no ${count} free ports in a row on 127.0.0.1`);
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
