import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { openS3Store } from './open-s3-store.ts';
import { MiB, bytesOf, read } from '../test/objects.ts';

test('a read goes over as many connections as there are ranges at once, however many ranges it takes', async () => {
  const bytes = bytesOf('connections', 64 * MiB + 1);
  let connections = 0;
  const server = createServer((request, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const body = bytes.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, {
      'content-length': body.length,
      'content-range': `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`,
      etag: '"one"',
    });
    response.end(body);
  });
  server.on('connection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  const endpoint = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
  const address = new URL(`s3://bucket/?endpoint=${endpoint}&conditionalWrites=none&memory=16MiB`);
  {
    await using store = await openS3Store(address, {
      cwd: '/',
      env: { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' },
      warn: () => undefined,
    });
    expect((await read(store, 'object')).equals(bytes)).toBe(true);
  }
  expect(connections).toBeLessThanOrEqual(3);
  server.close();
});
