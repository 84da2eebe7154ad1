import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { LuxiClient } from './luxi-client.ts';

/* A fake luxid, for what a real one does not do when it is asked to. */

async function fakeLuxid(answer: (socket: Socket) => void, timeoutMs = 60_000): Promise<LuxiClient> {
  const directory = await makeTemporaryDirectory();
  const sockets = new Set<Socket>();
  const path = directory.file('query');
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => answer(socket));
  }).listen(path);
  await once(server, 'listening');
  onTestFinished(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await directory[Symbol.asyncDispose]();
  });
  return new LuxiClient({ socket: path, timeoutMs });
}

test('an answer that comes in parts, and more after its end', async () => {
  const client = await fakeLuxid((socket) => {
    socket.write('{"success":true,', () => socket.end('"result":[1]}\u0003{"other"'));
  });
  expect(await client.call('QueryInstances', [])).toEqual([1]);
});

test('a daemon that does not answer', async () => {
  const client = await fakeLuxid(() => undefined, 200);
  await expect(client.call('QueryInstances', [])).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/^LUXI at .*: no answer within 0\.2 s$/),
  });
});

test('a call is cancelled at once', async () => {
  const controller = new AbortController();
  const reason = new Error('cancelled');
  const client = await fakeLuxid(() => controller.abort(reason));
  await expect(client.call('QueryInstances', [], { signal: controller.signal })).rejects.toBe(reason);
});

test('an answer without end', async () => {
  const chunk = Buffer.alloc(1024 * 1024, ' ');
  const client = await fakeLuxid((socket) => {
    const write = (): void => {
      while (!socket.destroyed && socket.write(chunk));
      if (!socket.destroyed) socket.once('drain', write);
    };
    write();
  });
  await expect(client.call('QueryInstances', [])).rejects.toMatchObject({
    code: 'failed',
    message: expect.stringContaining('more than 67108864 bytes'),
  });
});
