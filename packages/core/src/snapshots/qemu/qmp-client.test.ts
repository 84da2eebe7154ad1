import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';

import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';

import { QmpClient, QmpGone, QmpRefusal } from './qmp-client.ts';

const GREETING = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';
const { signal } = new AbortController();

/** A monitor that greets, and answers each line as it likes; what else it says is up to it. */
async function against<T>(
  answer: ((line: string, id: number) => string) | undefined,
  use: (path: string) => Promise<T>,
  greeting = GREETING,
): Promise<T> {
  await using scratch = await makeTemporaryDirectory();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(greeting);
    socket.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString().split('\n').filter(Boolean)) {
        const { id, execute } = JSON.parse(line);
        socket.write(execute === 'qmp_capabilities' ? `{"return": {}, "id": ${id}}\r\n` : (answer?.(execute, id) ?? ''));
      }
    });
  }).listen(scratch.file('qmp'));
  await once(server, 'listening');
  try {
    return await use(scratch.file('qmp'));
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
}

async function ask(path: string, timeoutMs = 60_000): Promise<unknown> {
  await using client = await QmpClient.connect(path, { timeoutMs, signal });
  return await client.execute('query-status');
}

test('answers go to their commands, events are kept, and a line may come in parts', async () => {
  const event = '{"timestamp": {"seconds": 5, "microseconds": 250000}, "event": "STOP"}\r\n';
  const outcome = await against(
    (line, id) => `${event}{"return": "${line}", "id": ${id}}\r\n`,
    async (path) => {
      await using client = await QmpClient.connect(path, { timeoutMs: 60_000, signal });
      const answers = await client.executeAll([{ execute: 'stop' }, { execute: 'cont' }]);
      return { answers, events: client.events, version: await client.version };
    },
  );
  expect(outcome).toEqual({
    answers: ['stop', 'cont'].map((value) => ({ status: 'fulfilled', value })),
    events: [0, 1].map(() => ({ name: 'STOP', atMs: 5250 })),
    version: { major: 7, minor: 2, micro: 0 },
  });
});

test('a command that is refused rejects alone, with words that cannot steer a terminal', async () => {
  const refusal = (id: number): string => `{"error": {"class": "GenericError", "desc": "no \\u001b[2J node"}, "id": ${id}}\r\n`;
  const outcomes = await against(
    (line, id) => (line === 'stop' ? refusal(id) : `{"return": {}, "id": ${id}}\r\n`),
    async (path) => {
      await using client = await QmpClient.connect(path, { timeoutMs: 60_000, signal });
      return await client.executeAll([{ execute: 'stop' }, { execute: 'cont' }]);
    },
  );
  expect(outcomes).toMatchObject([{ status: 'rejected', reason: expect.any(QmpRefusal) }, { status: 'fulfilled' }]);
  expect(String(outcomes[0]?.status === 'rejected' ? outcomes[0].reason : '')).not.toContain('\u001B');
});

test.each<[string, ((line: string, id: number) => string) | undefined, string, RegExp]>([
  ['no greeting', undefined, '', /one client at a time/],
  ['no answer', () => '', GREETING, /did not answer query-status \(waited 0.3 s\)/],
  ['an answer to something else', () => '{"return": {}, "id": 99}\r\n', GREETING, /did not answer query-status/],
])('%s: an error that says so, when the time is over', async (_, answer, greeting, message) => {
  await expect(against(answer, (path) => ask(path, 300), greeting)).rejects.toThrow(message);
});

test.each<[string, ((line: string, id: number) => string) | undefined, string, RegExp]>([
  ['another protocol', undefined, 'SSH-2.0-OpenSSH\r\n', /something else than QMP: SSH-2.0/],
  ['JSON of another kind', () => '{"hello": 1}\n', GREETING, /something else than QMP/],
  ['a line without end', () => 'x'.repeat(9 * 1024 * 1024), GREETING, /a line of more than 8388608 bytes/],
])('%s: an error that says so', async (_, answer, greeting, message) => {
  await expect(against(answer, (path) => ask(path), greeting)).rejects.toThrow(message);
});

test('nobody there: gone', async () => {
  await using scratch = await makeTemporaryDirectory();
  await expect(ask(scratch.file('qmp'))).rejects.toBeInstanceOf(QmpGone);
});

test('an abort ends a wait with its reason', async () => {
  const controller = new AbortController();
  const outcome = against(
    () => {
      controller.abort(new Error('enough'));
      return '';
    },
    async (path) => {
      await using client = await QmpClient.connect(path, { timeoutMs: 60_000, signal: controller.signal });
      return await client.execute('query-status');
    },
  );
  await expect(outcome).rejects.toThrow('enough');
});
