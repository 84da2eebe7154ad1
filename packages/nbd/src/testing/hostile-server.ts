import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';

import { SocketReader } from '../server/socket-reader.ts';
import type { Request } from '../wire/messages.ts';
import { decodeRequest, encodeChunkHeader } from '../wire/messages.ts';
import { decodeOptionHeader, encodeBlockSizes, encodeContext, encodeExportInfo, encodeOptionReply } from '../wire/options.ts';
import { ALLOCATION_CONTEXT, CHUNK, INIT_MAGIC, OPTION, OPTION_MAGIC, REPLY } from '../wire/protocol.ts';

/** One client, as a server that does as it likes sees it. */
export interface Victim {
  readonly socket: Socket;
  /** @throws Error where the client has left */
  read(bytes: number): Promise<Buffer>;
}

export interface HostileServer extends AsyncDisposable {
  readonly path: string;
  /** Connections that clients have not closed. */
  readonly open: () => number;
}

/** Does to each client what `attack` says, then stays silent until the client leaves. */
export async function startHostileServer(path: string, attack: (victim: Victim) => Promise<void>): Promise<HostileServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    const reader = new SocketReader(socket);
    const read = async (bytes: number): Promise<Buffer> => {
      const read = await reader.read(bytes);
      if (read === undefined) throw new Error('the client has left');
      return read;
    };
    // Listening goes on, so that it is seen when the client leaves.
    void attack({ socket, read })
      .then(() => reader.skip(Infinity))
      .catch(() => undefined);
  }).listen(path);
  await once(server, 'listening');
  return {
    path,
    open: () => sockets.size,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

export function greet({ socket }: Victim, flags = 3): void {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(INIT_MAGIC, 0);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
  bytes.writeUInt16BE(flags, 16);
  socket.write(bytes);
}

/** The next option of a client that has been greeted. */
export async function nextOption(victim: Victim): Promise<number> {
  const { option, length } = decodeOptionHeader(await victim.read(16));
  await victim.read(length);
  return option;
}

export interface Promised {
  readonly size?: number;
  readonly flags?: number;
  /** Minimum, preferred and maximum. */
  readonly blockSizes?: readonly [number, number, number];
  readonly structured?: boolean;
  /** The metadata context that it selects, no matter which is requested. */
  readonly context?: string;
}

/** A handshake by the rules, until the client has its export. */
export async function shakeHands(
  victim: Victim,
  { size = 1 << 20, flags = 3, blockSizes, structured = true, context = ALLOCATION_CONTEXT }: Promised = {},
): Promise<void> {
  const { socket } = victim;
  greet(victim);
  await victim.read(4);
  for (;;) {
    const option = await nextOption(victim);
    if (option === OPTION.STRUCTURED_REPLY && !structured) {
      socket.write(encodeOptionReply(option, REPLY.ERR_UNSUP));
      continue;
    }
    if (option === OPTION.SET_META_CONTEXT) socket.write(encodeOptionReply(option, REPLY.META_CONTEXT, encodeContext(7, context)));
    if (option === OPTION.GO) {
      socket.write(encodeOptionReply(option, REPLY.INFO, encodeExportInfo({ size, flags })));
      const [minimum = 1, preferred = 4096, maximum = 1 << 25] = blockSizes ?? [];
      if (blockSizes !== undefined) socket.write(encodeOptionReply(option, REPLY.INFO, encodeBlockSizes({ minimum, preferred, maximum })));
    }
    socket.write(encodeOptionReply(option, REPLY.ACK));
    if (option === OPTION.GO) return;
  }
}

export async function nextRequest(victim: Victim): Promise<Request> {
  return decodeRequest(await victim.read(28));
}

/** A chunk with any payload. */
export function chunk(cookie: bigint, type: number, payload: Uint8Array, done = true): Buffer {
  return Buffer.concat([encodeChunkHeader({ done, chunk: type, cookie, length: payload.length }), payload]);
}

/** A chunk of data. */
export function dataChunk(cookie: bigint, offset: number, data: Uint8Array, done = true): Buffer {
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(BigInt(offset));
  return chunk(cookie, CHUNK.OFFSET_DATA, Buffer.concat([at, data]), done);
}

export function holeChunk(cookie: bigint, offset: number, length: number, done = true): Buffer {
  const payload = Buffer.alloc(12);
  payload.writeBigUInt64BE(BigInt(offset));
  payload.writeUInt32BE(length, 8);
  return chunk(cookie, CHUNK.OFFSET_HOLE, payload, done);
}
