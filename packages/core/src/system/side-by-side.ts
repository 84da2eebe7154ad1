/**
 * Runs `work` for every item, at most `limit` at once, and waits until all have ended: also for those that `work` adds behind its own. The first failure aborts the others through
 * their signal; this function rejects with that failure, never with what the abort caused in the others.
 */
export async function sideBySide<T, R>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const failed = new AbortController();
  const both = AbortSignal.any([signal, failed.signal]);
  const results: R[] = [];
  let first: { readonly error: unknown } | undefined;
  let next = 0;

  const worker = async (): Promise<void> => {
    for (;;) {
      const index = next;
      const item = items[index];
      if (item === undefined || both.aborted) return;
      next += 1;
      try {
        results[index] = await work(item, both);
      } catch (error) {
        first ??= { error };
        failed.abort(error);
      }
    }
  };

  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (first !== undefined) {
    signal.throwIfAborted();
    throw first.error;
  }
  // If everything is done, an abort that comes now changes nothing.
  if (next < items.length) signal.throwIfAborted();
  return results;
}
