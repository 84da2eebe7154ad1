import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** How the writer writes: through the page cache, past it, or into mapped memory. */
export type WriterKind = 'buffered' | 'direct' | 'mapped';

const BLOCK_BYTES = 4096;

/** A process that numbers its writes; disposing kills it. */
export interface NumberedWriter extends AsyncDisposable {
  readonly pid: number;
}

/** Starts a process that writes numbered blocks to a disk without end, and waits until each was written once. Needs python3. */
export async function startNumberedWriter(disk: string, blocks: number, kind: WriterKind): Promise<NumberedWriter> {
  const program = fileURLToPath(import.meta.resolve('./numbered-writer.py'));
  const child = spawn('python3', [program, disk, String(blocks), kind], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    ended.then(([status]) => {
      throw new Error(`the writer ended with ${String(status)}`);
    }),
  ]);
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export interface NumberedContent {
  /** The number of the last write that is in it. */
  readonly last: number;
  /** Blocks that do not hold what they held when that write was the last: older, newer, or half of each. */
  readonly wrong: number;
}

/** Reads what the writer wrote, and compares it with what the disk was at the moment of its last write. */
export async function readNumberedDisk(path: string, blocks: number, kind: WriterKind): Promise<NumberedContent> {
  await using file = await open(path, 'r');
  const content = Buffer.alloc(blocks * BLOCK_BYTES);
  await file.read(content, 0, content.length, 0);
  const numbers = Array.from({ length: blocks }, (_, index) => Number(content.readBigUInt64LE(index * BLOCK_BYTES)));
  const last = Math.max(...numbers);
  const wrong = numbers.filter((number, index) => {
    const expected = last - ((((last - index) % blocks) + blocks) % blocks);
    const block = content.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    return number !== expected || (kind !== 'mapped' && !isUniform(block));
  });
  return { last, wrong: wrong.length };
}

function isUniform(block: Buffer): boolean {
  return block.subarray(8).equals(block.subarray(0, -8));
}
