/**
 * Iterates `source`, and rejects with the signal's reason as soon as it is aborted, in the middle of waiting too. The source is
 * told to end; it is not waited for when the signal ended it, for it may hang.
 */
export async function* abortable<T>(source: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T, void, undefined> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  aborted.promise.catch(() => undefined);
  const iterator = source[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const result = await Promise.race([iterator.next(), aborted.promise]);
      if (result.done === true) {
        ended = true;
        return;
      }
      yield result.value;
      signal.throwIfAborted();
    }
  } catch (error) {
    // A source that threw has ended; one that was abandoned is told so below.
    ended = !signal.aborted;
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
    if (!ended) await letGo(iterator, signal);
  }
}

async function letGo<T>(iterator: AsyncIterator<T>, signal: AbortSignal): Promise<void> {
  const returned = Promise.resolve(iterator.return?.());
  if (signal.aborted) returned.catch(() => undefined);
  else await returned;
}
