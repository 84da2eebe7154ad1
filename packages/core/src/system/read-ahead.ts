import { orAbort } from '@gantry/transport';

/**
 * Reads a source while its consumer is busy, at most `limit` items ahead, and yields the items in order.
 *
 * When the iteration ends, for any reason, the source is closed and every item that was not yielded is passed to `drop`.
 *
 * @param open opens the source, which must end soon after the signal that it gets
 */
export async function* readAhead<T>(
  open: (signal: AbortSignal) => AsyncGenerator<T, void, undefined>,
  limit: number,
  signal: AbortSignal,
  drop: (item: T) => void,
): AsyncGenerator<T, void, undefined> {
  const left = new AbortController();
  const items: T[] = [];
  let ended: { readonly error?: unknown } | undefined;
  let changed = Promise.withResolvers<void>();
  const change = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };

  const pull = async (): Promise<void> => {
    try {
      for await (const item of open(AbortSignal.any([signal, left.signal]))) {
        items.push(item);
        change();
        while (items.length >= limit && !left.signal.aborted) await changed.promise;
        if (left.signal.aborted) break;
      }
      ended = {};
    } catch (error) {
      ended = { error };
    } finally {
      change();
    }
  };
  const pulling = pull();

  try {
    for (;;) {
      signal.throwIfAborted();
      const item = items.shift();
      if (item !== undefined) {
        change();
        yield item;
      } else if (ended === undefined) {
        await orAbort(changed.promise, signal);
      } else if ('error' in ended) {
        throw ended.error;
      } else {
        return;
      }
    }
  } finally {
    left.abort();
    change();
    await pulling;
    for (const item of items) drop(item);
  }
}
