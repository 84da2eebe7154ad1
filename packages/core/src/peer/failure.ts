import { errorText } from '../report/error-text.ts';
import { GantryError } from '../report/errors.ts';
import { asFirstError } from '../report/first-error.ts';
import type { Failure, MoveStage } from './messages.ts';

/** Characters, and number of lines. */
const MAX = { message: 4000, text: 1000, details: 24 } as const;

/** An error as it is sent to the other side. */
export function describeFailure(error: unknown, stage: MoveStage): Omit<Failure, 'kind'> {
  const first = asFirstError(error);
  const message = errorText(first).slice(0, MAX.message);
  if (!(first instanceof GantryError)) return { stage, message, details: [] };
  const { code, hint, disk, details } = first;
  return {
    stage,
    code,
    message,
    ...(hint === undefined ? {} : { hint: hint.slice(0, MAX.text) }),
    ...(disk === undefined ? {} : { disk }),
    details: details.slice(0, MAX.details).map((line) => line.slice(0, MAX.text)),
  };
}
