import { crc32 } from 'node:zlib';
import type { Native } from './process-library.ts';
import { callOnThread, processFunction } from './process-library.ts';

/** From this size on, another thread is worth the way there. */
const MIN_ASIDE_BYTES = 64 * 1024;

let found: { readonly native: Native | undefined } | undefined;

/** CRC-32 (RFC 1952, section 8), of much data on one of libuv's threads, by the zlib that Node is made of. */
export async function crc32OnThread(bytes: Uint8Array): Promise<number> {
  if (bytes.length < MIN_ASIDE_BYTES) return crc32(bytes);
  found ??= { native: tryToFind() };
  const { native } = found;
  return native === undefined ? crc32(bytes) : callOnThread(native, [0, bytes, bytes.length], (returned) => Number(returned));
}

function tryToFind(): Native | undefined {
  try {
    return processFunction('unsigned long crc32_z(unsigned long crc, const void *bytes, size_t length)');
  } catch {
    return undefined;
  }
}
