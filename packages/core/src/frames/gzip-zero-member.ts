import { crc32OfZeros } from './zeros.ts';

/** A match of the maximum length, and its stored size: a bit for the length and a bit for the distance. */
const MATCH_BYTES = 258;
const MATCH_BITS = 2;
/** Code lengths are stored in this order (RFC 1951, section 3.2.7); those after the last one needed here are left out. */
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1];
/** The codes of the code lengths themselves: 18 (a run of zeros) is written as 0, 1 as 10, 2 as 11. */
const LENGTHS_OF_CODE_LENGTHS = new Map([
  [18, 1],
  [1, 2],
  [2, 2],
]);
const TRAILER_BYTES = 8;

/**
 * Deflated zeros with the trailer of a gzip member (RFC 1951, RFC 1952): the same bytes for all levels and versions of the library. One
 * block with its own codes: 0 for the longest match, 10 for a zero, 11 for the end.
 */
export function deflatedZeros(bytes: number): Buffer {
  const matches = Math.max(0, Math.floor((bytes - 1) / MATCH_BYTES));
  const literals = bytes - matches * MATCH_BYTES;
  const writer = new BitWriter(64 + Math.ceil((matches * MATCH_BITS + literals * 2) / 8));
  putCodes(writer);
  // The matches copy the first zero; the others fill the remainder.
  if (bytes > 0) putZero(writer);
  writer.skip(matches * MATCH_BITS);
  for (let left = literals - 1; left > 0; left -= 1) putZero(writer);
  writer.put(0b11, 2);

  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(crc32OfZeros(bytes), 0);
  trailer.writeUInt32LE(bytes, 4);
  return Buffer.concat([writer.bytes(), trailer]);
}

/** The block's header (RFC 1951, section 3.2.7): codes for 0, 256 (the end), 285 (the longest match), and the distance 1. */
function putCodes(writer: BitWriter): void {
  writer.put(1, 1); // the last block
  writer.put(2, 2); // with its own codes
  writer.put(286 - 257, 5);
  writer.put(1 - 1, 5);
  writer.put(CODE_LENGTH_ORDER.length - 4, 4);
  for (const symbol of CODE_LENGTH_ORDER) writer.put(LENGTHS_OF_CODE_LENGTHS.get(symbol) ?? 0, 3);
  putLengthTwo(writer); // of 0
  putUnused(writer, 138);
  putUnused(writer, 117);
  putLengthTwo(writer); // of 256
  putUnused(writer, 28);
  putLengthOne(writer); // of 285
  putLengthOne(writer); // of the distance 1
}

/* Codes are written starting with their most significant bit, all other numbers with their least. */

function putZero(writer: BitWriter): void {
  writer.put(0b01, 2);
}

function putLengthOne(writer: BitWriter): void {
  writer.put(0b01, 2);
}

function putLengthTwo(writer: BitWriter): void {
  writer.put(0b11, 2);
}

/** 11 to 138 symbols without a code. */
function putUnused(writer: BitWriter, count: number): void {
  writer.put(0, 1);
  writer.put(count - 11, 7);
}

class BitWriter {
  readonly #buffer: Buffer;
  #bits = 0;

  constructor(maxBytes: number) {
    this.#buffer = Buffer.alloc(maxBytes);
  }

  put(value: number, bits: number): void {
    for (let bit = 0; bit < bits; bit += 1, this.#bits += 1) {
      if (((value >> bit) & 1) === 0) continue;
      const at = this.#bits >> 3;
      this.#buffer.writeUInt8(this.#buffer.readUInt8(at) | (1 << (this.#bits & 7)), at);
    }
  }

  /** Writes this many zero bits. */
  skip(bits: number): void {
    this.#bits += bits;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, Math.ceil(this.#bits / 8));
  }
}
