/**
 * Iterates `source`, and rejects with the signal's reason as soon as it is aborted, even while waiting. However the iteration ends, the
 * source is closed. An error of closing is thrown only if there is no other: never in place of the signal's reason. If the source was just
 * producing an item, its end is not awaited, because it may hang.
 */
export async function* abortable<T>(source: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T, void, undefined> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  const iterator = source[Symbol.asyncIterator]();
  let state: 'waiting' | 'between' | 'ended' = 'between';
  const next = async (): Promise<IteratorResult<T>> => {
    try {
      return await iterator.next();
    } catch (error) {
      state = 'ended';
      throw error;
    }
  };
  const close = async (): Promise<void> => void (await iterator.return?.());
  try {
    for (;;) {
      signal.throwIfAborted();
      state = 'waiting';
      const result = await orAbort(next(), signal);
      if (result.done === true) {
        state = 'ended';
        return;
      }
      state = 'between';
      yield result.value;
    }
  } finally {
    if (state !== 'ended') {
      const closed = signal.aborted ? close().catch(() => undefined) : close();
      if (state === 'between') await closed;
    }
  }
}

/**
 * Waits for `promise`, or until the signal is aborted; a later result is ignored. Each call makes its own promise for the signal: a race
 * against a single one for the complete stream would keep every item in memory until the stream ends.
 */
export async function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([aborted.promise, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** As {@link orAbort}, for something that must be closed: if it opens after the abort, it is closed at once. */
export async function openOrAbort<T extends AsyncDisposable | undefined>(opening: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await orAbort(opening, signal);
  } catch (error) {
    void opening.then((late) => late?.[Symbol.asyncDispose]()).catch(() => undefined);
    throw error;
  }
}
