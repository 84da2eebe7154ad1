import { GantryError } from '@gantry/core';
import { InterruptedError } from './signals.ts';

/** The command's exit code for `error`; `docs/reference/errors.md` lists the codes. 1 means a defect in Gantry. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof GantryError) return error.exitCode;
  if (error instanceof InterruptedError) return error.exitCode;
  return 1;
}
