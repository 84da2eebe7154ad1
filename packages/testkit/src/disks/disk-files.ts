import { createCipheriv, createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

const CHUNK_BYTES = 1024 * 1024;

/** A run of pseudo-random bytes in a disk file. */
export interface DataExtent {
  /** Bytes from the start. */
  readonly offset: number;
  readonly bytes: number;
  /** The same seed makes the same bytes on every machine. */
  readonly seed: string;
}

/** Makes a file of `bytes` bytes that is one hole except for the given extents. */
export async function makeSparseFile(path: string, bytes: number, extents: readonly DataExtent[] = []): Promise<void> {
  await using file = await open(path, 'w', 0o600);
  await file.truncate(bytes);
  for (const extent of extents) {
    let position = extent.offset;
    for (const chunk of pseudoRandom(extent.seed, extent.bytes)) {
      await file.write(chunk, 0, chunk.length, position);
      position += chunk.length;
    }
  }
}

/** Makes a file of `bytes` pseudo-random bytes, which are incompressible. */
export async function makeRandomFile(path: string, bytes: number, seed: string): Promise<void> {
  await makeSparseFile(path, bytes, [{ offset: 0, bytes, seed }]);
}

/** `bytes` bytes that look random and are the same for the same seed, in chunks of at most 1 MiB. */
export function* pseudoRandom(seed: string, bytes: number): Generator<Buffer<ArrayBuffer>> {
  const key = createHash('sha256').update(seed).digest();
  const stream = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, bytes));
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    yield stream.update(left < zeros.length ? zeros.subarray(0, left) : zeros);
  }
}
