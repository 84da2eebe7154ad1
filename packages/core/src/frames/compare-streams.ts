import type { PlainReader } from './plain-reader.ts';
import type { PlainPiece } from './types.ts';
import { isZero } from './zeros.ts';

/** How two plain streams compare. */
export interface StreamComparison {
  /** Bytes of each. */
  readonly expectedBytes: number;
  readonly readBytes: number;
  /** The first byte at which they differ, or at which one of them ends; undefined if they are equal. */
  readonly differsAt: number | undefined;
}

const BUFFER_BYTES = 1024 * 1024;

/**
 * Reads two plain streams to their ends and compares them. A run of zeros equals bytes that are zeros.
 *
 * @throws what reading either of them throws
 */
export async function compareStreams(expected: AsyncIterable<PlainPiece>, reader: PlainReader): Promise<StreamComparison> {
  const read = new ReadAhead(reader);
  let expectedBytes = 0;
  let differsAt: number | undefined;
  for await (const piece of expected) {
    const length = piece instanceof Uint8Array ? piece.length : piece.zeros;
    for (let at = 0; at < length && differsAt === undefined;) {
      const other = await read.take(length - at);
      if (other === undefined) differsAt = expectedBytes + at;
      else {
        const taken = other instanceof Uint8Array ? other.length : other.zeros;
        const mine = piece instanceof Uint8Array ? piece.subarray(at, at + taken) : { zeros: taken };
        const difference = firstDifference(mine, other);
        if (difference !== undefined) differsAt = expectedBytes + at + difference;
        at += taken;
      }
    }
    expectedBytes += length;
  }
  const rest = await read.drain();
  if (rest > 0) differsAt ??= expectedBytes;
  return { expectedBytes, readBytes: read.bytes, differsAt };
}

/** Of two pieces of one length. */
function firstDifference(a: PlainPiece, b: PlainPiece): number | undefined {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) {
    const bytes = a instanceof Uint8Array ? a : b;
    return bytes instanceof Uint8Array && !isZero(bytes) ? bytes.findIndex((byte) => byte !== 0) : undefined;
  }
  return Buffer.compare(a, b) === 0 ? undefined : a.findIndex((byte, index) => byte !== b[index]);
}

/** A reader from which any number of bytes can be taken. */
class ReadAhead {
  bytes = 0;
  readonly #reader: PlainReader;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #held: PlainPiece = { zeros: 0 };

  constructor(reader: PlainReader) {
    this.#reader = reader;
  }

  /** At least one byte and at most `most`; undefined at the end. Valid until the next call. */
  async take(most: number): Promise<PlainPiece | undefined> {
    if (lengthOf(this.#held) === 0) {
      const piece = await this.#reader.read(this.#buffer);
      if (piece === undefined) return undefined;
      this.#held = typeof piece === 'number' ? this.#buffer.subarray(0, piece) : piece;
      this.bytes += lengthOf(this.#held);
    }
    const held = this.#held;
    const taken = Math.min(most, lengthOf(held));
    if (held instanceof Uint8Array) {
      this.#held = held.subarray(taken);
      return held.subarray(0, taken);
    }
    this.#held = { zeros: held.zeros - taken };
    return { zeros: taken };
  }

  /** Reads to the end. @returns bytes that had not been taken */
  async drain(): Promise<number> {
    let rest = 0;
    for (let piece = await this.take(Infinity); piece !== undefined; piece = await this.take(Infinity)) rest += lengthOf(piece);
    return rest;
  }
}

function lengthOf(piece: PlainPiece): number {
  return piece instanceof Uint8Array ? piece.length : piece.zeros;
}
