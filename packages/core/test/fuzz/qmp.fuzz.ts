import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { QmpClient } from '../../src/snapshots/qemu/qmp-client.ts';
import { assertShowable } from './refusal.ts';

const GREETING = '{"QMP":{"version":{"qemu":{"major":9,"minor":2,"micro":0}},"capabilities":[]}}\n';

let answer: Uint8Array = Buffer.of();
let path: Promise<string> | undefined;

/** Says what it is to say, no matter what it is asked, and hangs up. */
async function startServer(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(answer);
  });
  server.unref().listen(join(directory, 'qmp'));
  await once(server, 'listening');
  return join(directory, 'qmp');
}

/** What the monitor of a QEMU says. */
const target: FuzzTarget = {
  seeds: () => [
    `${GREETING}{"return":{},"id":1}\n{"timestamp":{"seconds":1,"microseconds":2},"event":"STOP"}\n{"return":[{"device":"a"}],"id":2}\n`,
    `${GREETING}{"return":{},"id":1}\n{"id":2,"error":{"class":"GenericError","desc":"no"}}\n`,
  ],
  words: ['{"id":1}', '\n', '"return"', '"QMP"', '"event"', '"error"'],
  async run(input) {
    answer = input;
    const options = { timeoutMs: 20_000, signal: new AbortController().signal };
    try {
      await using client = await QmpClient.connect(await (path ??= startServer()), options);
      await client.execute('query-block');
    } catch (error) {
      assertRefusal(error, (each) => each instanceof Error && /QEMU/.test(each.message));
      if (error instanceof Error) assertShowable([error.message]);
    }
  },
};

export default target;
