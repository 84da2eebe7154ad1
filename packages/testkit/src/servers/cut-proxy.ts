import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

import type { Side } from './held-answers.ts';
import { HeldAnswers } from './held-answers.ts';

export interface CutProxyOptions {
  /** The delay of each byte in each direction, ms; 0 by default. */
  readonly delayMs?: number;
}

/** A TCP proxy on 127.0.0.1 that can fail like a network. */
export interface CutProxy extends AsyncDisposable {
  readonly port: number;
  /** How many bytes it has forwarded so far, in both directions, over all connections. */
  readonly passedBytes: number;
  /** How many connections are open now. */
  readonly connections: number;
  /** Cuts every connection (with a reset) after this many more bytes, in both directions together. */
  cutAfter(bytes: number): void;
  /** Silently stops forwarding after this many more bytes. */
  freezeAfter(bytes: number): void;
  /**
   * Holds back everything that the server sends until this many bytes have arrived from one side, then forwards it. So a client
   * gets through only if it has this many bytes in flight without an answer.
   */
  holdAnswersUntil(side: Side, bytes: number): Promise<void>;
  /** Accepts new connections again, after a cut or a freeze. */
  heal(): void;
  /** Resolves when a cut or a freeze has happened. */
  broken(): Promise<void>;
}

/** Starts a proxy to a port of 127.0.0.1. */
export async function startCutProxy(targetPort: number, { delayMs = 0 }: CutProxyOptions = {}): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let passedBytes = 0;
  let fault: { readonly kind: 'cut' | 'freeze'; readonly at: number } | undefined;
  let broken = Promise.withResolvers<void>();
  const answers = new HeldAnswers();
  const isBroken = (): boolean => fault !== undefined && passedBytes >= fault.at;

  const breakAll = (): void => {
    if (fault?.kind === 'cut') for (const socket of sockets) socket.resetAndDestroy();
    broken.resolve();
  };
  const pass = (chunk: Buffer, from: Socket, to: Socket): void => {
    if (isBroken()) return;
    const allowed = fault === undefined ? chunk.length : Math.min(chunk.length, fault.at - passedBytes);
    passedBytes += allowed;
    if (!to.write(chunk.subarray(0, allowed))) {
      from.pause();
      to.once('drain', () => from.resume());
    }
    if (isBroken()) breakAll();
  };
  const pipe = (from: Socket, to: Socket, side: Side): void => {
    sockets.add(from);
    const forward = (chunk: Buffer): void => answers.forward(side, chunk.length, () => pass(chunk, from, to));
    from.on('data', (chunk: Buffer) => (delayMs === 0 ? forward(chunk) : void setTimeout(forward, delayMs, chunk)));
    from.on('end', () => (delayMs === 0 ? to.end() : void setTimeout(() => to.end(), delayMs)));
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      if (!isBroken()) to.destroySoon();
    });
  };
  const server = createServer({ noDelay: true }, (client) => {
    if (isBroken()) {
      client.resetAndDestroy();
      return;
    }
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    pipe(client, target, 'client');
    pipe(target, client, 'server');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const breakAfter = (kind: 'cut' | 'freeze', bytes: number): void => {
    broken = Promise.withResolvers();
    fault = { kind, at: passedBytes + bytes };
    if (bytes === 0) breakAll();
  };
  return {
    port: portOf(server),
    get passedBytes() {
      return passedBytes;
    },
    get connections() {
      return sockets.size / 2;
    },
    cutAfter: (bytes) => breakAfter('cut', bytes),
    freezeAfter: (bytes) => breakAfter('freeze', bytes),
    holdAnswersUntil: (side, bytes) => answers.until(side, bytes),
    heal: () => {
      for (const socket of sockets) socket.destroy();
      fault = undefined;
    },
    broken: () => broken.promise,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  return address.port;
}
