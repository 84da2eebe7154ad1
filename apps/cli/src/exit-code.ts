import { GantryError } from '@gantry/core';
import { InterruptedError } from './signals.ts';

/** What the command ends with after `error`; `docs/reference/errors.md` lists the codes. 1 is for what should never happen. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof GantryError) return error.exitCode;
  if (error instanceof InterruptedError) return error.exitCode;
  return 1;
}
