import type { IncomingMessage } from 'node:http';
import process from 'node:process';

import { releaseMemory } from '@gantry/transport';

/**
 * Hands every chunk of a response's body to `take`, which copies what it wants and must not throw. Resolves at the end, or when the
 * body is destroyed; rejects with what it fails with.
 *
 * Faster than iterating, which joins what has come into new memory. The memory of each chunk, and of what the socket read for it, is
 * given back as soon as the parser of HTTP, in whose midst this is called, has done with it: at the end of the tick.
 */
export function drain(body: IncomingMessage, take: (chunk: Uint8Array) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { socket } = body;
  const release = (chunk: Uint8Array): void => process.nextTick(releaseMemory, chunk);
  if (body.errored !== null) reject(body.errored);
  if (body.closed) resolve();
  body.once('error', reject);
  body.once('close', resolve);
  body.once('end', resolve);
  body.on('data', take);
  body.on('data', release);
  socket.on('data', release);
  return promise.finally(() => socket.off('data', release));
}
