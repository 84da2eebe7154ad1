import { crc32 } from 'node:zlib';
import { sharedBySize } from './shared-by-size.ts';

/** Zeros to compare with and to write. Never modified. */
export const ZEROS: Buffer = Buffer.alloc(1024 * 1024);

/** Whether all bytes are zeros. */
export function isZero(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length; start += ZEROS.length) {
    const end = Math.min(start + ZEROS.length, bytes.length);
    if (ZEROS.compare(bytes, start, end, 0, end - start) !== 0) return false;
  }
  return true;
}

/** `bytes` zeros, in chunks that all share the same memory. */
export function* zeroChunks(bytes: number): Generator<Uint8Array, void, undefined> {
  for (let left = bytes; left > 0; left -= ZEROS.length) yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
}

const largeZeros = sharedBySize(2, (bytes) => Buffer.alloc(bytes));

/** A shared buffer of this many zeros. Never modified. */
export function zeroBytes(bytes: number): Uint8Array {
  return bytes <= ZEROS.length ? ZEROS.subarray(0, bytes) : largeZeros(bytes);
}

/** CRC-32 of this many zeros. */
export function crc32OfZeros(bytes: number): number {
  let crc = 0;
  for (const chunk of zeroChunks(bytes)) crc = crc32(chunk, crc);
  return crc;
}
