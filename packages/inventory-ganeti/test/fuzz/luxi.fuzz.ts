import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { LuxiClient } from '../../src/luxi/luxi-client.ts';

let answer: Uint8Array = Buffer.of();
let client: Promise<LuxiClient> | undefined;

/** Says what it is to say, no matter what it is asked, and hangs up. */
async function start(): Promise<LuxiClient> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(answer);
  });
  const path = join(directory, 'luxid');
  server.unref().listen(path);
  await once(server, 'listening');
  return new LuxiClient({ socket: path, timeoutMs: 20_000 });
}

/** What the daemon of a Ganeti master says. */
const target: FuzzTarget = {
  seeds: () => ['{"success":true,"result":[1]}\u0003', '{"success":false,"result":["OpPrereqError",["no such","unknown_entity"]]}\u0003'],
  words: ['\u0003', '"success":false', 'unknown_entity', '"result"'],
  async run(input) {
    answer = input;
    try {
      await (await (client ??= start())).call('QueryInstances', []);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof InventoryError);
    }
  },
};

export default target;
