/** What an error says, for a message of our own. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What failed first says more than what failed while that was being cleaned up.
  return 'suppressed' in error && error.suppressed instanceof Error ? errorText(error.suppressed) : error.message;
}
