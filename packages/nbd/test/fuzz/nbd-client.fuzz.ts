import { createServer } from 'node:net';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal } from '@gantry/testkit';
import { connectNbd } from '../../src/index.ts';
import { NbdError } from '../../src/errors.ts';
import { dataChunk, holeChunk } from '../../src/testing/hostile-server.ts';
import { encodeSimpleReply } from '../../src/wire/messages.ts';
import { encodeContext, encodeExportInfo, encodeOptionReply } from '../../src/wire/options.ts';
import { ALLOCATION_CONTEXT, INIT_MAGIC, OPTION, OPTION_MAGIC, REPLY } from '../../src/wire/protocol.ts';
import { listenForGood } from './sockets.ts';

let answer: Uint8Array = Buffer.of();
let path: Promise<string> | undefined;

/** Says what it is to say, no matter what it is asked, and hangs up. */
function startServer(): Promise<string> {
  return listenForGood(
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.end(answer);
    }),
  );
}

function greeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(INIT_MAGIC, 0);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
  bytes.writeUInt16BE(3, 16);
  return bytes;
}

function handshake(size: number): Buffer {
  const acknowledged = (option: number): Buffer => encodeOptionReply(option, REPLY.ACK);
  return Buffer.concat([
    greeting(),
    acknowledged(OPTION.STRUCTURED_REPLY),
    encodeOptionReply(OPTION.SET_META_CONTEXT, REPLY.META_CONTEXT, encodeContext(7, ALLOCATION_CONTEXT)),
    acknowledged(OPTION.SET_META_CONTEXT),
    encodeOptionReply(OPTION.GO, REPLY.INFO, encodeExportInfo({ size, flags: 3 })),
    acknowledged(OPTION.GO),
  ]);
}

/** What a server of NBD says, from its greeting to the data of a read. */
const target: FuzzTarget = {
  seeds: () => [
    Buffer.concat([handshake(64), dataChunk(1n, 0, Buffer.alloc(64, 'x'))]),
    Buffer.concat([handshake(64), dataChunk(1n, 0, Buffer.alloc(32, 'x'), false), holeChunk(1n, 32, 32)]),
    Buffer.concat([greeting(), encodeOptionReply(OPTION.STRUCTURED_REPLY, REPLY.ERR_UNSUP), encodeSimpleReply({ errno: 5, cookie: 1n })]),
    Buffer.concat([greeting(), encodeOptionReply(OPTION.STRUCTURED_REPLY, REPLY.ERR_TLS_REQD, Buffer.from('TLS, please'))]),
  ],
  maxBytes: 1024,
  async run(input) {
    answer = input;
    try {
      const address = { path: await (path ??= startServer()) };
      await using client = await connectNbd({ address, exportName: '', contexts: [ALLOCATION_CONTEXT], timeoutMs: 20_000 });
      await client.read(0, Buffer.alloc(Math.min(64, client.size)));
    } catch (error) {
      assertRefusal(error, (each) => each instanceof NbdError);
    }
  },
};

export default target;
