import { constants } from 'node:os';
import { GantryError } from '@gantry/core';

/** The abort reason when the user or the system sends a signal. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`interrupted by ${signalName}`);
    this.signalName = signalName;
  }
}

/** The exit status for `error`, as that of gantry; 1 means a defect. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof GantryError) return error.exitCode;
  // As in a shell: 128 plus the signal's number.
  return error instanceof InterruptedError ? 128 + constants.signals[error.signalName] : 1;
}
