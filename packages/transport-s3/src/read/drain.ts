import type { IncomingMessage } from 'node:http';
import process from 'node:process';

import { releaseMemory } from '@gantry/transport';

/**
 * Passes every chunk of a response's body to `take`, which copies what it needs and must not throw. Resolves at the end, or when the
 * body is destroyed; rejects with the error of the body.
 *
 * Faster than iterating, which copies the chunks into new memory. The memory of each chunk, and of what the socket read for it, is
 * released at the end of the tick: until then the HTTP parser, which calls this, still uses it.
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
