/**
 * Iterates `source`, and rejects with the signal's reason as soon as it is aborted, in the middle of waiting too. The source is
 * told to end; it is not waited for when the signal ended it in the middle of its next item, for it may hang.
 */
export async function* abortable<T>(source: AsyncIterable<T>, signal: AbortSignal | undefined): AsyncGenerator<T, void, undefined> {
  if (signal === undefined) {
    yield* source;
    return;
  }
  signal.throwIfAborted();
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
  try {
    for (;;) {
      state = 'waiting';
      const result = await orAbort(next(), signal);
      if (result.done === true) {
        state = 'ended';
        return;
      }
      state = 'between';
      yield result.value;
      signal.throwIfAborted();
    }
  } finally {
    if (state !== 'ended') {
      const returned = Promise.resolve(iterator.return?.());
      if (state === 'between') await returned;
      else returned.catch(() => undefined);
    }
  }
}

/**
 * Waits for `promise`, but no longer than until the signal; what the promise comes to after that is nobody's business. A race with one
 * promise for the whole stream would keep every item that ever won against it, until the stream ends.
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

/** As {@link orAbort}, for what must be closed: what is opened after the signal is closed as soon as it is there. */
export async function openOrAbort<T extends AsyncDisposable | undefined>(opening: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  try {
    return await orAbort(opening, signal);
  } catch (error) {
    void opening.then((late) => late?.[Symbol.asyncDispose]()).catch(() => undefined);
    throw error;
  }
}
