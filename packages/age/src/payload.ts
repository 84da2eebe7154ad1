import { hkdfSync } from 'node:crypto';
import { AgeError } from './errors.ts';

/*
 * The payload of a file of age (C2SP age.md, "Payload"): a nonce of 16 bytes, from which and the file key comes the payload key; then blocks
 * of 64 KiB, the last one of 1 to 65536 bytes (or 0 in an empty file), each by ChaCha20-Poly1305 with its 16 bytes of tag. A block's nonce
 * is its number in 11 bytes, big-endian, and 1 if it is the last, else 0. So each block can be read alone.
 */

export const BLOCK_BYTES = 65_536;
export const TAG_BYTES = 16;
export const SEALED_BLOCK_BYTES: number = BLOCK_BYTES + TAG_BYTES;
export const NONCE_BYTES = 16;

export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** How many bytes the blocks of that many plain bytes have. */
export function sealedBytes(plainBytes: number): number {
  return plainBytes + TAG_BYTES * Math.max(1, Math.ceil(plainBytes / BLOCK_BYTES));
}

/** How many plain bytes are in blocks of that many bytes in all. @throws AgeError `damaged` for a number that no file has */
export function plainBytesOf(sealed: number): number {
  const rest = sealed % SEALED_BLOCK_BYTES;
  const isEmpty = sealed === TAG_BYTES;
  if (sealed < TAG_BYTES || (!isEmpty && rest > 0 && rest <= TAG_BYTES)) {
    throw new AgeError('damaged', `the file is cut off or has extra bytes: no payload has ${sealed} bytes`);
  }
  return sealed - TAG_BYTES * Math.ceil(sealed / SEALED_BLOCK_BYTES);
}

/** Of the block with that number. */
export function blockNonce(index: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(index, 5, 6);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}
