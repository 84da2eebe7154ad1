import type { MirrorResult } from '@gantry/core';
import { asFirstError, GantryError, errorText } from '@gantry/core';
import type { RunProblem } from './record/form.ts';

/** A failure that does not end the run. */
export function problemOf(what: string, error: unknown): RunProblem {
  const first = asFirstError(error);
  if (first instanceof GantryError) {
    const { code, message, hint } = first;
    return { what, code, message, ...(hint === undefined ? {} : { hint }) };
  }
  return { what, code: 'INTERNAL', message: errorText(first) };
}

/** The exports that were not copied to a store, or would not be. */
export function problemsOfCopies({ exports }: MirrorResult, to: string): readonly RunProblem[] {
  return exports.flatMap(({ reference, outcome, code = 'STORE_FAILED', reason = 'it was not copied' }) =>
    outcome === 'failed' ? [{ what: `copy of ${reference} to ${to}`, code, message: reason }] : [],
  );
}
