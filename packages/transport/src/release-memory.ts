import { Buffer } from 'node:buffer';

/**
 * Gives back, at once, the memory that a chunk is part of. For whoever has done with a chunk that a socket read into memory of its own,
 * and knows that nobody else looks at any part of that memory: all views of it have no bytes any more.
 *
 * Without this the memory waits for the garbage collector, which such chunks wake every few dozen MiB, each time for a walk through
 * all that the program holds: a sixth of the processor time of an import over SSH.
 *
 * Small chunks stay: they may be of the memory that Node shares among small buffers (`Buffer.poolSize`).
 */
export function releaseMemory(chunk: Uint8Array): void {
  if (chunk.length >= Buffer.poolSize / 2 && chunk.buffer instanceof ArrayBuffer) chunk.buffer.transfer(0);
}
