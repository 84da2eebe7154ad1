import { Buffer } from 'node:buffer';

/**
 * Releases the memory of a chunk at once. Only for a chunk that a socket read into its own memory, when no other code uses any part of
 * that memory: all views of it become empty.
 *
 * Otherwise the memory waits for the garbage collector, which such chunks trigger every few dozen MiB, each time for a walk through the
 * complete heap: a sixth of the processor time of an import over SSH.
 *
 * Small chunks are kept: they may be part of the memory that Node shares among small buffers (`Buffer.poolSize`).
 */
export function releaseMemory(chunk: Uint8Array): void {
  if (chunk.length >= Buffer.poolSize / 2 && chunk.buffer instanceof ArrayBuffer) chunk.buffer.transfer(0);
}
