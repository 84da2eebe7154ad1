/**
 * What failed first. Where leaving an `await using` fails as well, JavaScript throws a SuppressedError, which holds the first failure
 * and hides it: its own message is empty. Any other error comes back as it is.
 */
export function firstFailure(error: unknown): unknown {
  return isSuppressedError(error) ? firstFailure(error.suppressed) : error;
}

/** What failed after {@link firstFailure}, in that order: mostly while cleaning up. */
export function laterFailures(error: unknown): readonly unknown[] {
  if (!isSuppressedError(error)) return [];
  return [...laterFailures(error.suppressed), firstFailure(error.error), ...laterFailures(error.error)];
}

/** Known by its shape: a Node that lacks the class gets one from the compiler. */
function isSuppressedError(error: unknown): error is Error & { readonly error: unknown; readonly suppressed: unknown } {
  return error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error && 'error' in error;
}
