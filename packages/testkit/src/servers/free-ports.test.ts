import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { findFreePorts } from './free-ports.ts';

test('a free port belongs to the process that found it, though nothing listens on it', async () => {
  const port = await findFreePorts(2);
  for (const each of [port, port + 1]) {
    const other = createServer();
    other.listen({ path: `\0gantry-test-port-${each}` });
    await expect(once(other, 'listening')).rejects.toMatchObject({ code: 'EADDRINUSE' });
  }
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  server.close();
});
