import { firstFailure } from '@gantry/transport';

/** The message of an error, for use in a message of our own; of several failures, the first. */
export function errorText(error: unknown): string {
  const first = firstFailure(error);
  return first instanceof Error ? first.message : String(first);
}
