import { failureText, firstFailure } from '@gantry/transport';
import type { ZodError } from 'zod';

/**
 * The message of an error, for use in a message of our own; of several failures, the first. Of a document that a schema refuses, the first
 * place: the message of that error is all of them, as JSON.
 */
export function errorText(error: unknown): string {
  const first = firstFailure(error);
  return isSchemaError(first) ? issueText(first) : failureText(first);
}

/** By its name: the library is not loaded by commands that read no documents. */
function isSchemaError(error: unknown): error is ZodError {
  return error instanceof Error && error.name === 'ZodError' && 'issues' in error && Array.isArray(error.issues);
}

function issueText({ issues: [issue] }: ZodError): string {
  const place = issue?.path.map(String).join('.') ?? '';
  return `it is not what was expected: ${place === '' ? '' : `${place}: `}${issue?.message ?? 'it is not valid'}`;
}
