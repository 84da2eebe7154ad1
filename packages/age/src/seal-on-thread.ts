import { JOB_BLOCKS, JOB_SEALED_BYTES } from './block-job.ts';
import { BlockQueue } from './block-queue.ts';
import { BLOCK_BYTES, SEALED_BLOCK_BYTES, sealedBytes } from './payload.ts';

const JOB_PLAIN_BYTES: number = JOB_BLOCKS * BLOCK_BYTES;

/** The blocks of a file, encrypted on the thread of the process. A piece is valid until the next one is requested. */
export async function* sealOnThread(key: Uint8Array, plain: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const queue = new BlockQueue('seal', key);
  let memory = queue.memory(JOB_SEALED_BYTES);
  let filled = 0;
  let first = 0;
  for await (const chunk of plain) {
    for (let at = 0; at < chunk.length;) {
      // The last block must be known as such: memory that is full waits for another byte.
      if (filled === JOB_PLAIN_BYTES) {
        queue.push(memory, { first, sealedBytes: JOB_SEALED_BYTES, endsFile: false });
        first += JOB_BLOCKS;
        if (queue.isFull) yield await queue.next();
        memory = queue.memory(JOB_SEALED_BYTES);
        filled = 0;
      }
      const taken = fill(memory, filled, chunk.subarray(at));
      filled += taken;
      at += taken;
    }
  }
  queue.push(memory, { first, sealedBytes: sealedBytes(filled), endsFile: true });
  while (!queue.isEmpty) yield await queue.next();
}

/** Puts bytes into the block at this place, which has room for its tag. @returns how many */
function fill(memory: Uint8Array, filled: number, bytes: Uint8Array): number {
  const inBlock = filled % BLOCK_BYTES;
  const taken = Math.min(BLOCK_BYTES - inBlock, bytes.length);
  memory.set(bytes.subarray(0, taken), Math.floor(filled / BLOCK_BYTES) * SEALED_BLOCK_BYTES + inBlock);
  return taken;
}
