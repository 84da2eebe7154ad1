import { createGunzip, createZstdDecompress } from 'node:zlib';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { dumpDamaged } from './damage.ts';
import type { Codec, DumpProgress, PlainPiece } from './types.ts';

/** The plain stream of a dump that the ordinary tools made. */
export async function* decodeForeign(
  stored: AsyncIterable<Uint8Array>,
  o: { readonly codec: Codec; readonly signal: AbortSignal; readonly onProgress?: DumpProgress | undefined },
): AsyncGenerator<PlainPiece, void, undefined> {
  if (o.codec === 'none') {
    yield* stored;
    return;
  }
  const decoder = o.codec === 'zstd' ? createZstdDecompress() : createGunzip();
  const feeding = pipeline(Readable.from(stored), decoder, { signal: o.signal });
  feeding.catch(() => undefined);
  try {
    for await (const chunk of decoder) if (chunk instanceof Uint8Array) yield chunk;
    await feeding;
  } catch (error) {
    o.signal.throwIfAborted();
    throw dumpDamaged(error instanceof Error ? error.message : String(error), undefined, error);
  }
}
