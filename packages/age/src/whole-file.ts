import type { SealedSource } from './sealed-file.ts';

/** A file that is in memory. */
export function sourceOf(file: Uint8Array): SealedSource {
  return { size: file.length, read: (offset, length) => asStream(file.subarray(offset, offset + length)) };
}

export async function* asStream(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

/** All chunks as one. Each is copied, since it is valid only until the next one is requested. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}
