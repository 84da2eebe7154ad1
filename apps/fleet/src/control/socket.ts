import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { createConnection, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { errorText, GantryError } from '@gantry/core';
import { z } from 'zod';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import type { Request } from './requests.ts';
import { answer, request } from './requests.ts';

/*
 * The process that has the embedded queue answers commands on a socket in the state directory, which only its user can reach: one request
 * for each connection, in JSON, and one answer.
 */

const MAX_REQUEST_CHARACTERS = 64 * 1024;

const answered = z.union([z.object({ ok: z.unknown() }), z.object({ failed: z.string() })]);

/** Answers requests until it is disposed. @param path of the socket; one that a killed process left is replaced: the caller has its lock */
export async function serveControl(path: string, queue: FleetQueue): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => socket.destroy());
    void answerOn(socket, queue);
  });
  await rm(path, { force: true });
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answerOn(socket: Socket, queue: FleetQueue): Promise<void> {
  try {
    const asked = await text(socket);
    if (asked.length > MAX_REQUEST_CHARACTERS) throw new Error('the request is too long');
    const result = await answer(queue, request.parse(JSON.parse(asked)));
    socket.end(JSON.stringify({ ok: result }));
  } catch (error) {
    socket.end(JSON.stringify({ failed: errorText(error) }));
  }
}

/**
 * Asks the process that has the embedded queue.
 *
 * @returns its answer; undefined if no process listens there
 * @throws GantryError `QUEUE_UNAVAILABLE`
 */
export async function askControl(path: string, asked: Request): Promise<{ readonly answer: unknown } | undefined> {
  const socket = createConnection({ path, allowHalfOpen: true });
  try {
    await once(socket, 'connect');
  } catch {
    return undefined;
  }
  try {
    socket.end(JSON.stringify(asked));
    const parsed = answered.parse(JSON.parse(await text(socket)));
    if ('failed' in parsed) throw new Error(parsed.failed);
    return { answer: parsed.ok };
  } catch (error) {
    const reason = errorText(error);
    throw new GantryError('QUEUE_UNAVAILABLE', { message: `the agent of this machine did not answer: ${reason}`, cause: error });
  }
}
