import { asFirstError, GantryError } from '@gantry/core';
import type { RunProblem } from './record/form.ts';

/** A failure that does not end the run. */
export function problemOf(what: string, error: unknown): RunProblem {
  const first = asFirstError(error);
  if (first instanceof GantryError) {
    const { code, message, hint } = first;
    return { what, code, message, ...(hint === undefined ? {} : { hint }) };
  }
  return { what, code: 'INTERNAL', message: first instanceof Error ? first.message || first.name : String(first) };
}
