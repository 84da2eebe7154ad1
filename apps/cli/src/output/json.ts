import { GantryError, terminalSafeJson, errorText } from '@gantry/core';
import { exitCodeOf } from '@gantry/programs';
import type { Lines, Output, OutputOptions } from './output.ts';

/** A failure as one JSON object, without secrets and without a stack trace. */
function describeFailure(error: unknown): Record<string, unknown> {
  const exitCode = exitCodeOf(error);
  if (error instanceof GantryError) {
    const { code, message, hint, disk, details } = error;
    return { type: 'error', code, message, hint, disk, details, exitCode };
  }
  const message = errorText(error);
  return { type: 'error', code: exitCode > 128 ? 'INTERRUPTED' : 'INTERNAL', message, exitCode };
}

/** One JSON object per line on stdout: events as they happen, then `result` or `error`. */
export function createJsonOutput({ stdout, quiet }: OutputOptions): Output {
  const write = (value: unknown): void => {
    stdout.write(`${terminalSafeJson(value)}\n`);
  };
  const note = (message: Lines): void => write({ type: 'note', message: [message].flat().join('\n') });
  return {
    event: (event) => {
      if (!quiet || event.type === 'warning') write(event);
    },
    note: quiet ? () => undefined : note,
    warn: (message) => write({ type: 'warning', message }),
    ask: note,
    result: (value) => write({ type: 'result', ...value }),
    bytes: (value) => write({ type: 'result', ...value }),
    failure: (error) => write(describeFailure(error)),
    close: () => undefined,
  };
}
