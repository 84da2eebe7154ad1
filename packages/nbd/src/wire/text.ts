import { NbdError, violation } from '../errors.ts';
import { MAX_STRING_BYTES } from './protocol.ts';

/** A string of the protocol ("Conventions"). @throws NbdError `invalid-argument` */
export function encodeText(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length > MAX_STRING_BYTES || text.includes('\0') || !text.isWellFormed())
    throw new NbdError(
      'invalid-argument',
      `"${text.slice(0, 60)}" cannot be ${what}: at most ${MAX_STRING_BYTES} bytes of UTF-8 without NUL`,
    );
  return bytes;
}

/** A string that a peer sent. @throws NbdError `protocol` */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > MAX_STRING_BYTES) throw violation(`sent a string of ${bytes.length} bytes, at most ${MAX_STRING_BYTES} are allowed`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new NbdError('protocol', 'the NBD peer sent a string that is not UTF-8', { cause: error });
  }
}

/** What a peer wrote for humans, fit for a terminal: a broken or hostile text must not hide the error that it comes with. */
export function decodeMessage(bytes: Uint8Array): string {
  return new TextDecoder()
    .decode(bytes.subarray(0, MAX_STRING_BYTES))
    .replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
    .trim();
}
