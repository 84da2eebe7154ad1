import type { OpenRange } from '../read-frames.ts';
import type { PlainReader } from '../plain-reader.ts';
import type { Hole, PlainPiece } from '../types.ts';

/** All the bytes of a stream, copied as they come. */
export async function collect(pieces: AsyncIterable<PlainPiece>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece instanceof Uint8Array ? Buffer.from(piece) : Buffer.alloc(piece.zeros));
  return Buffer.concat(all);
}

/** The pieces, each overwritten as soon as the next one is requested, as a source may do. */
export async function* overwritten(pieces: Iterable<PlainPiece>): AsyncGenerator<PlainPiece, void, undefined> {
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

/** Bytes in chunks of `size`, overwritten like those of {@link overwritten}. */
export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let start = 0; start < bytes.length; start += size) {
    await Promise.resolve();
    const memory = Buffer.from(bytes.subarray(start, start + size));
    yield memory;
    memory.fill(0xdd);
  }
}

/** A plain reader of the pieces. */
export function readerOf(pieces: AsyncIterable<PlainPiece>): PlainReader {
  const iterator = pieces[Symbol.asyncIterator]();
  let chunk: Uint8Array = new Uint8Array(0);
  return {
    async read(output): Promise<number | Hole | undefined> {
      while (chunk.length === 0) {
        const step = await iterator.next();
        if (step.done === true) return undefined;
        if (!(step.value instanceof Uint8Array)) return step.value;
        chunk = step.value;
      }
      const bytes = chunk.subarray(0, output.length);
      output.set(bytes);
      chunk = chunk.subarray(bytes.length);
      return bytes.length;
    },
  };
}

/** The pieces of a plain reader, read into one buffer of `bytes` bytes. */
export async function* piecesOf(reader: PlainReader, bytes: number = 1024 * 1024): AsyncGenerator<PlainPiece, void, undefined> {
  const output = Buffer.alloc(bytes);
  for (let piece = await reader.read(output); piece !== undefined; piece = await reader.read(output)) {
    yield typeof piece === 'number' ? output.subarray(0, piece) : piece;
  }
}

/** Opens ranges of a dump in memory; a range after its end is shorter. */
export function rangesOf(stored: Uint8Array, chunkSize = 37): OpenRange {
  return async (offset, length) => {
    const range = stored.subarray(offset, offset + length);
    return {
      length: range.length,
      objectSize: stored.length,
      [Symbol.asyncIterator]: () => inChunks(range, chunkSize),
      [Symbol.asyncDispose]: async () => undefined,
    };
  };
}
