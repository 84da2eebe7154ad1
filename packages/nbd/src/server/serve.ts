import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';

import { messageOf, NbdError } from '../errors.ts';
import { encodeListedExport } from '../wire/options.ts';
import { ServerHandshake } from './handshake.ts';
import type { ServedExport } from './served-export.ts';
import { ServerTransmission } from './server-transmission.ts';
import { SocketReader } from './socket-reader.ts';

export interface ServeOptions {
  /** The unix socket: nothing may be there yet. It is for its owner alone (mode 0600), and removed at the end. */
  readonly path: string;
  /** With different names. One alone is also the default export. */
  readonly exports: readonly ServedExport[];
  /** Maximum number of connected clients; further ones are refused. */
  readonly maxClients?: number;
  /** For a client to choose an export, ms. */
  readonly handshakeTimeoutMs?: number;
  /** Of an export that could not be read; its client learned only that. */
  readonly onError?: (error: unknown) => void;
}

/** A running server. Disposing ends it, and every connection. */
export interface NbdServer extends AsyncDisposable {
  readonly path: string;
}

const DEFAULT_CLIENTS = 16;
const DEFAULT_HANDSHAKE_MS = 10_000;

/** Serves exports, read-only, until it is disposed. @throws NbdError `unreachable` where it cannot listen, `invalid-argument` */
export async function serveNbd(options: ServeOptions): Promise<NbdServer> {
  const { path, exports, maxClients = DEFAULT_CLIENTS } = options;
  assertExports(exports);
  const ending = new AbortController();
  const connections = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    if (connections.size >= maxClients) socket.destroy();
    else
      connections.set(
        socket,
        attend(socket, options, ending.signal).finally(() => connections.delete(socket)),
      );
  });
  try {
    server.listen(path);
    await once(server, 'listening');
    await chmod(path, 0o600);
  } catch (error) {
    server.close();
    throw new NbdError('unreachable', `cannot listen at ${path}: ${messageOf(error)}`, { cause: error });
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      if (ending.signal.aborted) return;
      const closed = once(server, 'close');
      server.close();
      ending.abort(new NbdError('disconnected', 'the NBD server ends'));
      await Promise.all([closed, ...connections.values()]);
    },
  };
}

/** One client, from its greeting to its end. What it does wrong ends its own connection alone. */
async function attend(socket: Socket, options: ServeOptions, ending: AbortSignal): Promise<void> {
  const gone = new AbortController();
  const leave = (): void => {
    gone.abort();
    socket.destroy();
  };
  socket.on('error', leave);
  socket.on('close', leave);
  ending.addEventListener('abort', leave, { once: true });
  const timer = setTimeout(leave, options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_MS);
  try {
    const reader = new SocketReader(socket);
    const choice = await new ServerHandshake(socket, reader, options.exports).run();
    clearTimeout(timer);
    if (choice !== undefined) await new ServerTransmission(socket, reader, choice, gone.signal, options.onError ?? (() => undefined)).run();
    // What was answered last is still sent.
    socket.destroySoon();
  } catch {
    leave();
  } finally {
    clearTimeout(timer);
    ending.removeEventListener('abort', leave);
  }
}

/** @throws NbdError `invalid-argument` */
function assertExports(exports: readonly ServedExport[]): void {
  if (new Set(exports.map(({ name }) => name)).size !== exports.length)
    throw new NbdError('invalid-argument', 'two exports have the same name');
  for (const { name, description = '', size } of exports) {
    encodeListedExport({ name, description });
    if (!Number.isSafeInteger(size) || size < 0) throw new NbdError('invalid-argument', `the export "${name}" cannot have ${size} bytes`);
  }
}
