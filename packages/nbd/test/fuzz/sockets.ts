import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Lets a server listen until the process ends, which it does not keep. @returns the path of its socket */
export async function listenForGood(server: Server): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const path = join(directory, 'socket');
  server.unref().listen(path);
  await once(server, 'listening');
  return path;
}
