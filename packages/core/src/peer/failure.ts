import { GantryError } from '../report/errors.ts';
import type { Failure, MoveStage } from './messages.ts';

const LONGEST = { message: 4000, text: 1000, details: 24 } as const;

/** An error as it is told to the other side. */
export function describeFailure(error: unknown, stage: MoveStage): Omit<Failure, 'kind'> {
  const message = (error instanceof Error ? error.message : String(error)).slice(0, LONGEST.message);
  if (!(error instanceof GantryError)) return { stage, message, details: [] };
  const { code, hint, disk, details } = error;
  return {
    stage,
    code,
    message,
    ...(hint === undefined ? {} : { hint: hint.slice(0, LONGEST.text) }),
    ...(disk === undefined ? {} : { disk }),
    details: details.slice(0, LONGEST.details).map((line) => line.slice(0, LONGEST.text)),
  };
}
