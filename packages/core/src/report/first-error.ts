import { firstFailure, laterFailures } from '@gantry/transport';
import { errorText } from './error-text.ts';
import { GantryError } from './errors.ts';

/**
 * The first error, where cleaning up failed too; the later ones become its details. An error that cannot have details, such as the
 * reason of a signal, is returned as it is.
 */
export function asFirstError(error: unknown): unknown {
  const first = firstFailure(error);
  const later = laterFailures(error).map((failure) => `after that: ${errorText(failure)}`);
  if (later.length === 0 || !(first instanceof GantryError)) return first;
  const { code, message, hint, disk, details } = first;
  return new GantryError(code, { message, hint, disk, details: [...details, ...later], cause: error });
}

/** Runs an operation, and rejects with what failed first. */
export async function withFirstError<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    throw asFirstError(error);
  }
}
