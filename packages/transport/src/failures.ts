/**
 * The first failure. If the disposal of an `await using` fails as well, JavaScript throws a SuppressedError, which hides the first failure:
 * its own message is empty. Any other error is returned unchanged.
 */
export function firstFailure(error: unknown): unknown {
  return isSuppressedError(error) ? firstFailure(error.suppressed) : error;
}

/**
 * The message of the {@link firstFailure}, for use in a message of our own; its name, if it has none. Node's error for a host whose addresses
 * all failed has none either: its text is that of each address.
 */
export function failureText(error: unknown): string {
  const first = firstFailure(error);
  if (!(first instanceof Error)) return String(first);
  if (first.message !== '') return first.message;
  const causes: readonly unknown[] = first instanceof AggregateError ? first.errors : [];
  return [...new Set(causes.map(failureText))].join('; ') || first.name;
}

/** The failures after {@link firstFailure}, in order: usually from cleaning up. */
export function laterFailures(error: unknown): readonly unknown[] {
  if (!isSuppressedError(error)) return [];
  return [...laterFailures(error.suppressed), firstFailure(error.error), ...laterFailures(error.error)];
}

/** Translates the first failure, and keeps the later ones. */
export function translateFailure(error: unknown, translate: (first: unknown) => unknown): unknown {
  return laterFailures(error).reduce(withLaterFailure, translate(firstFailure(error)));
}

/** `first`, which stays the first failure, with a later one added in the way of JavaScript's SuppressedError. */
function withLaterFailure(first: unknown, later: unknown): Error {
  return Object.assign(new Error('several failures', { cause: first }), { name: 'SuppressedError', error: later, suppressed: first });
}

/** The result of `work`. If it fails, `close` is called first; a failure of that does not hide the first one. */
export async function closeOnFailure<T>(close: () => PromiseLike<void>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    try {
      await close();
    } catch (later) {
      throw withLaterFailure(error, later);
    }
    throw error;
  }
}

/** Recognized by its shape: where Node lacks the class, the compiler provides one. */
function isSuppressedError(error: unknown): error is Error & { readonly error: unknown; readonly suppressed: unknown } {
  return error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error && 'error' in error;
}
