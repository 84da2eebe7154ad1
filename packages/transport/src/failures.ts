/**
 * The first failure. If the disposal of an `await using` fails as well, JavaScript throws a SuppressedError, which hides the first failure:
 * its own message is empty. Any other error is returned unchanged.
 */
export function firstFailure(error: unknown): unknown {
  return isSuppressedError(error) ? firstFailure(error.suppressed) : error;
}

/** The failures after {@link firstFailure}, in order: usually from cleaning up. */
export function laterFailures(error: unknown): readonly unknown[] {
  if (!isSuppressedError(error)) return [];
  return [...laterFailures(error.suppressed), firstFailure(error.error), ...laterFailures(error.error)];
}

/** Recognized by its shape: where Node lacks the class, the compiler provides one. */
function isSuppressedError(error: unknown): error is Error & { readonly error: unknown; readonly suppressed: unknown } {
  return error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error && 'error' in error;
}
