import { orAbort } from '@gantry/transport';

/**
 * The items of `source`, each waited for no longer than until the signal. However the iteration ends, `source` is let go; when
 * it is in the midst of its next item, nobody waits for that.
 */
export async function* abortable<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let state: 'waiting' | 'between' | 'ended' = 'between';
  try {
    for (;;) {
      signal.throwIfAborted();
      state = 'waiting';
      const step = await orAbort(
        iterator.next().catch((error: unknown) => {
          state = 'ended';
          throw error;
        }),
        signal,
      );
      if (step.done === true) {
        state = 'ended';
        return;
      }
      state = 'between';
      yield step.value;
    }
  } finally {
    if (state !== 'ended') {
      const letGo = Promise.resolve(iterator.return?.()).catch(() => undefined);
      if (state === 'between') await letGo;
    }
  }
}
