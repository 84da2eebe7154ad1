import { createHash } from 'node:crypto';
import type { ByteSource, Digest } from '../store.ts';
import { expect, expectEqual } from './expect.ts';

export const MiB: number = 1024 * 1024;

/** Bytes that look random and are the same for the same seed, so that mixed-up objects or offsets are detected. */
export function bytesOf(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  for (let index = 0; index < size; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state & 0xff;
  }
  return bytes;
}

export function digestOf(bytes: Uint8Array): Digest {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Yields `bytes` in pieces of the given sizes, in turn. */
export async function* inPieces(bytes: Buffer, ...sizes: readonly [number, ...number[]]): AsyncGenerator<Uint8Array> {
  for (let offset = 0, turn = 0; offset < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? sizes[0];
    yield Buffer.from(bytes.subarray(offset, offset + size));
    offset += size;
  }
}

/** Yields `bytes` in a single buffer, which it refills for every chunk and overwrites afterwards. */
export async function* refilled(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(size);
  for (let offset = 0; offset < bytes.length; offset += size) {
    const length = bytes.copy(memory, 0, offset, offset + size);
    yield memory.subarray(0, length);
    memory.fill(0xee);
  }
}

/** Copies all bytes of a source, and checks their number against its length. */
export async function collect(source: ByteSource, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of source) {
    total += chunk.length;
    expect(total <= source.length, `${what}: got more than the announced ${source.length} bytes`);
    chunks.push(Buffer.from(chunk));
  }
  expectEqual(total, source.length, `${what}: number of bytes`);
  return Buffer.concat(chunks);
}
