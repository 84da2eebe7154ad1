import type { Transform } from 'node:stream';
import { FormatProblem } from './damage.ts';

/** Gives the decoder bytes to decode. Resolves when it has consumed them or needs no more; rejects if it was destroyed. */
export type Feed = (bytes: Uint8Array) => Promise<void>;

/**
 * The output of one of Node's decoders while `feedAll` feeds it. Memory is bounded: neither side runs ahead of the other.
 *
 * Throws the errors of `feedAll`.
 *
 * @throws FormatProblem if the decoder reports an error
 */
export async function* throughDecoder(
  decoder: Transform,
  feedAll: (feed: Feed) => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
    decoder.destroy();
  };
  decoder.once('error', (error) => fail(new FormatProblem(`it cannot be decompressed: ${error.message}`, { cause: error })));
  const feeding = feedAll((bytes) => write(decoder, bytes)).then(() => decoder.end(), fail);
  try {
    for await (const chunk of decoder) if (chunk instanceof Uint8Array) yield chunk;
    await feeding;
  } catch (error) {
    throw failure === undefined ? error : failure.error;
  } finally {
    decoder.destroy();
  }
  if (failure !== undefined) throw failure.error;
}

function write(decoder: Transform, bytes: Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // A decoder that is destroyed during a write does not call back. The cause is reported elsewhere.
  const onClose = (): void => reject(new Error('the decoder was destroyed'));
  decoder.once('close', onClose);
  if (decoder.destroyed) onClose();
  else decoder.write(bytes, () => resolve());
  return promise.finally(() => decoder.off('close', onClose));
}
