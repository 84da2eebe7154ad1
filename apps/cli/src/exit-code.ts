import { GantryError } from '@gantry/core';
import { CommanderError } from 'commander';
import { InterruptedError } from './signals.ts';

/** What the command ends with after `error`; `docs/errors.md` lists the codes. 1 is for what should never happen. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof GantryError) return error.exitCode;
  if (error instanceof InterruptedError) return error.exitCode;
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  return 1;
}
