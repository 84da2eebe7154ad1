import { abortable } from '../system/abortable.ts';
import { dumpDamaged, FormatProblem } from './damage.ts';
import { DumpReader } from './dump-reader.ts';
import { readForeignGzip } from './foreign-gzip.ts';
import { readForeignZstd } from './foreign-zstd.ts';
import type { Codec, DumpProgress, PlainPiece } from './types.ts';
import { isZero } from './zeros.ts';

/** The plain stream of a dump that the ordinary tools made, in one thread and checked as far as its format goes. */
export async function* decodeForeign(
  stored: AsyncIterable<Uint8Array>,
  o: { readonly codec: Codec; readonly signal: AbortSignal; readonly onProgress?: DumpProgress | undefined },
): AsyncGenerator<PlainPiece, void, undefined> {
  const left = new AbortController();
  await using reader = new DumpReader(abortable(stored, AbortSignal.any([o.signal, left.signal])));
  let plainBytes = 0;
  try {
    for await (const chunk of readers[o.codec](reader)) {
      o.signal.throwIfAborted();
      plainBytes += chunk.length;
      o.onProgress?.(plainBytes, reader.offset);
      yield isZero(chunk) ? { zeros: chunk.length } : chunk;
    }
  } catch (error) {
    if (error instanceof FormatProblem) throw dumpDamaged(error.message, { offset: reader.offset }, error.cause);
    throw error;
  } finally {
    left.abort();
  }
}

const readers: Readonly<Record<Codec, (reader: DumpReader) => AsyncGenerator<Uint8Array, void, undefined>>> = {
  zstd: readForeignZstd,
  gzip: readForeignGzip,
  none: readPlain,
};

async function* readPlain(reader: DumpReader): AsyncGenerator<Uint8Array, void, undefined> {
  for (let chunk = await reader.peek(); chunk !== undefined; chunk = await reader.peek()) {
    yield chunk;
    reader.pass(chunk.length);
  }
}
