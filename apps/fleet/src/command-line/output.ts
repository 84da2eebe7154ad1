import { asFirstError, GantryError, terminalSafe, terminalSafeJson, errorText } from '@gantry/core';
import { exitCodeOf } from '@gantry/programs';

/** What a command shows. Names and messages come from other hosts: control characters are made visible. */
export interface Output {
  /** What the command was asked for: as text, or with `--json` as one object. */
  readonly result: (value: Readonly<Record<string, unknown>>, lines: readonly string[]) => void;
  /** What the user should know although nothing failed; on standard error. */
  readonly warn: (message: string) => void;
  /** What a service does; on standard error. */
  readonly note: (message: string) => void;
  readonly failure: (error: unknown) => void;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

export function createOutput({ json, stdout, stderr }: OutputOptions): Output {
  const say = (text: string): void => void stderr.write(`gantry-fleet: ${terminalSafe(text)}\n`);
  const print = (value: unknown): void => void stdout.write(`${terminalSafeJson(value)}\n`);
  return {
    result: (value, lines) => {
      if (json) print({ type: 'result', ...value });
      else for (const line of lines) stdout.write(`${terminalSafe(line)}\n`);
    },
    warn: (message) => say(`warning: ${message}`),
    note: say,
    failure: (error) => {
      const first = asFirstError(error);
      const { code, message, hint } = describe(first);
      if (json) print({ type: 'error', code, message, hint, exitCode: exitCodeOf(first) });
      else {
        say(`${message} [${code}]`);
        if (hint !== undefined) stderr.write(`  ${terminalSafe(hint)}\n`);
      }
    },
  };
}

function describe(error: unknown): { readonly code: string; readonly message: string; readonly hint?: string | undefined } {
  if (error instanceof GantryError) return error;
  const code = exitCodeOf(error) > 128 ? 'INTERRUPTED' : 'INTERNAL';
  return { code, message: errorText(error) };
}
