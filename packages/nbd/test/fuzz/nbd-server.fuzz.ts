import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { serveNbd } from '../../src/index.ts';
import { memoryExport } from '../../src/testing/memory-export.ts';
import { encodeRequest } from '../../src/wire/messages.ts';
import { encodeContextQueries, encodeInfoRequest, encodeOption } from '../../src/wire/options.ts';
import { ALLOCATION_CONTEXT, COMMAND, OPTION } from '../../src/wire/protocol.ts';

/** What one client may get: replies with the whole export, some times. */
const MAX_ANSWER_BYTES = 64 * 1024 ** 2;

let path: Promise<string> | undefined;

async function startServer(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const exports = [memoryExport('disk0', Buffer.concat([Buffer.alloc(4096, 'x'), Buffer.alloc(4096)]), 'a disk')];
  const server = await serveNbd({ path: join(directory, 'socket'), exports });
  return server.path;
}

const flags = Buffer.of(0, 0, 0, 3);

/** What a client says to our server of NBD, which answers, or hangs up. */
const target: FuzzTarget = {
  seeds: () => [
    Buffer.concat([
      flags,
      encodeOption(OPTION.STRUCTURED_REPLY),
      encodeOption(OPTION.SET_META_CONTEXT, encodeContextQueries('disk0', [ALLOCATION_CONTEXT])),
      encodeOption(OPTION.GO, encodeInfoRequest('disk0', [0, 3])),
      encodeRequest({ flags: 0, command: COMMAND.READ, cookie: 1n, offset: 0, length: 8192 }),
      encodeRequest({ flags: 0, command: COMMAND.BLOCK_STATUS, cookie: 2n, offset: 0, length: 8192 }),
      encodeRequest({ flags: 0, command: COMMAND.DISC, cookie: 3n, offset: 0, length: 0 }),
    ]),
    Buffer.concat([flags, encodeOption(OPTION.LIST), encodeOption(OPTION.INFO, encodeInfoRequest('', [])), encodeOption(OPTION.ABORT)]),
    Buffer.concat([flags, encodeOption(OPTION.EXPORT_NAME, Buffer.from('disk0'))]),
  ],
  maxBytes: 1024,
  async run(input) {
    const socket = connect({ path: await (path ??= startServer()) });
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('error', () => undefined);
    // The server may hang up before it has read all.
    const closed = once(socket, 'close').catch(() => undefined);
    socket.end(input);
    await closed;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`an answer of ${bytes} bytes`);
  },
};

export default target;
