/** A signal that follows another one with a delay, and may be the same one without. */
export interface LaterSignal extends Disposable {
  readonly signal: AbortSignal;
}

/** Aborts `delayMs` after `signal` does, with its reason; at once if that is 0. Disposing it ends the waiting. */
export function abortLater(signal: AbortSignal, delayMs: number): LaterSignal {
  if (delayMs === 0) return { signal, [Symbol.dispose]: () => undefined };
  const later = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const wait = (): void => {
    timer = setTimeout(() => later.abort(signal.reason), delayMs);
  };
  if (signal.aborted) wait();
  else signal.addEventListener('abort', wait, { once: true });
  return {
    signal: later.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      signal.removeEventListener('abort', wait);
    },
  };
}
