import type { PlainPiece } from '../types.ts';

/** All the bytes of a stream, copied as they come. */
export async function collect(pieces: AsyncIterable<PlainPiece>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
  return Buffer.concat(all);
}

/** The pieces, in one memory that is filled anew as soon as the next is asked for, as a giver may do. */
export async function* lent(pieces: Iterable<PlainPiece>): AsyncGenerator<PlainPiece, void, undefined> {
  for (const piece of pieces) {
    await Promise.resolve();
    if (!(piece instanceof Uint8Array)) {
      yield piece;
      continue;
    }
    const memory = Buffer.from(piece);
    yield memory;
    memory.fill(0xdd);
  }
}

/** Bytes in chunks of `size`, lent as those of {@link lent}. */
export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let start = 0; start < bytes.length; start += size) {
    await Promise.resolve();
    const memory = Buffer.from(bytes.subarray(start, start + size));
    yield memory;
    memory.fill(0xdd);
  }
}
