import { abortable } from '@gantry/transport';
import type { Codec } from './codecs/registry.ts';
import { codecNamed } from './codecs/registry.ts';
import { dumpDamaged, FormatProblem } from './damage.ts';
import { DumpReader } from './dump-reader.ts';
import type { DumpProgress, PlainPiece } from './types.ts';
import { isZero } from './zeros.ts';

/** The plain stream of a dump that the standard tools made, decompressed in one thread and checked as far as its format allows. */
export async function* decodeForeign(
  stored: AsyncIterable<Uint8Array>,
  o: { readonly codec: Codec; readonly signal: AbortSignal; readonly onProgress?: DumpProgress | undefined },
): AsyncGenerator<PlainPiece, void, undefined> {
  const abandoned = new AbortController();
  await using reader = new DumpReader(abortable(stored, AbortSignal.any([o.signal, abandoned.signal])));
  let plainBytes = 0;
  try {
    for await (const chunk of codecNamed(o.codec).readForeign(reader)) {
      o.signal.throwIfAborted();
      plainBytes += chunk.length;
      o.onProgress?.(plainBytes, reader.offset);
      yield isZero(chunk) ? { zeros: chunk.length } : chunk;
    }
  } catch (error) {
    if (error instanceof FormatProblem) throw dumpDamaged(error.message, { offset: reader.offset }, error.cause);
    throw error;
  } finally {
    abandoned.abort();
  }
}
