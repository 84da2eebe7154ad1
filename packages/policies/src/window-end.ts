/** Undefined if the window ended first. @throws what `work` rejects with, and the reason of `signal` */
export async function unlessEnded<T>(
  windowEnd: AbortSignal,
  signal: AbortSignal,
  work: (both: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work(AbortSignal.any([signal, windowEnd]));
  } catch (error) {
    signal.throwIfAborted();
    if (windowEnd.aborted) return undefined;
    throw error;
  }
}

/** A signal that is aborted at the end of a window; never, if there is none. */
export function abortAt(end: Date | undefined): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new Error('the window of the policy has ended'));
  const timer = end === undefined ? undefined : setTimeout(abort, end.getTime() - Date.now());
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}
