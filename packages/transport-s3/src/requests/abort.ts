/** Waits for `promise` until a signal fires: then rejects with its reason, and ignores the outcome of the promise. */
export async function untilAborted<T>(promise: Promise<T>, ...signals: readonly (AbortSignal | undefined)[]): Promise<T> {
  const given = signals.filter((signal) => signal !== undefined);
  if (given.length === 0) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const listeners = given.map((signal) => {
    // eslint-disable-next-line typescript/prefer-promise-reject-errors -- a signal's reason is passed on as it is
    const listener = (): void => reject(signal.reason);
    if (signal.aborted) listener();
    else signal.addEventListener('abort', listener, { once: true });
    return { signal, listener };
  });
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    for (const { signal, listener } of listeners) signal.removeEventListener('abort', listener);
    // The loser of the race may still reject.
    promise.catch(ignore);
  }
}

/** For rejections that are reported elsewhere. */
export function ignore(): void {
  // Nothing to do.
}
