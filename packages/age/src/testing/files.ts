import type { SealedSource } from '../index.ts';

/** Bytes in chunks of this size. */
export async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}

export function sourceOf(file: Uint8Array, chunk = 10_000): SealedSource {
  return { size: file.length, read: (offset, length) => chunksOf(file.subarray(offset, offset + length), chunk) };
}
