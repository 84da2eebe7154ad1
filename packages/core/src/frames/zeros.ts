import { crc32 } from 'node:zlib';

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

const zeroBuffers = new Map<number, Uint8Array>();

/** A shared buffer of this many zeros. Never modified. */
export function zeroBytes(bytes: number): Uint8Array {
  if (bytes <= ZEROS.length) return ZEROS.subarray(0, bytes);
  const known = zeroBuffers.get(bytes);
  if (known !== undefined) return known;
  const zeros = Buffer.alloc(bytes);
  // All frames of a dump have the same size, except the last.
  if (zeroBuffers.size >= 2) zeroBuffers.clear();
  zeroBuffers.set(bytes, zeros);
  return zeros;
}

/** CRC-32 of this many zeros. */
export function crc32OfZeros(bytes: number): number {
  let crc = 0;
  for (const chunk of zeroChunks(bytes)) crc = crc32(chunk, crc);
  return crc;
}
