/*
 * The header of a file of age is text (C2SP age.md, "Header"): the version, a stanza for each recipient, and `--- ` with the MAC of all
 * before, 32 bytes in base64 without padding.
 */

/** A header that is longer is refused before it is looked at. 64 post-quantum recipients take about 110 KiB. */
export const MAX_HEADER_BYTES: number = 256 * 1024;

const VERSION = 'age-encryption.org/v1\n';
const MAC_LINE = /\n--- [A-Za-z0-9+/]{43}\n/;

/** Whether the bytes begin as a file of age does. */
export function isHeaderStart(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, VERSION.length)).equals(Buffer.from(VERSION));
}

/** The header at the beginning of these bytes; undefined if it does not end in them, or they begin with something else. */
export function headerIn(bytes: Uint8Array): Uint8Array | undefined {
  if (!isHeaderStart(bytes)) return undefined;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const end = MAC_LINE.exec(text);
  return end === null ? undefined : bytes.subarray(0, end.index + end[0].length);
}

/** Whether a file of age is encrypted with a passphrase: what has no valid header counts as if it were, and is found damaged later. */
export function hasPassphrase(file: Uint8Array): boolean {
  const header = headerIn(file);
  return header === undefined || Buffer.from(header).toString('latin1').includes('\n-> scrypt ');
}
