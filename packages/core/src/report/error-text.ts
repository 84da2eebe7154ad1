import { firstFailure } from '@gantry/transport';
import { z } from 'zod';

/**
 * The message of an error, for use in a message of our own; of several failures, the first. Of a document that a schema refuses, the first
 * place: the message of that error is all of them, as JSON.
 */
export function errorText(error: unknown): string {
  const first = firstFailure(error);
  if (first instanceof z.ZodError) return issueText(first);
  return first instanceof Error ? first.message : String(first);
}

function issueText({ issues: [issue] }: z.ZodError): string {
  const place = issue?.path.map(String).join('.') ?? '';
  return `it is not what was expected: ${place === '' ? '' : `${place}: `}${issue?.message ?? 'it is not valid'}`;
}
