import process from 'node:process';
import { GantryError } from '@gantry/core';
import { CommanderError } from 'commander';
import { createOutput } from './command-line/output.ts';
import { exitCodeOf, InterruptedError } from './command-line/exit-code.ts';
import { createProgram } from './command-line/program.ts';

await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  // If the reader has gone away (`gantry-fleet status | head`), cleaning up goes on.
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', () => undefined);
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => controller.abort(new InterruptedError(name)));
  const output = createOutput({ json: args.includes('--json'), stdout: process.stdout, stderr: process.stderr });
  let exitCode = 0;
  const exitWith = (code: number): void => {
    exitCode = code;
  };
  try {
    const program = createProgram({ env: process.env, cwd: process.cwd(), signal: controller.signal, output, exitWith });
    await program.parseAsync([...args], { from: 'user' });
    process.exitCode = exitCode;
  } catch (error) {
    process.exitCode = explain(error);
  }

  /** @returns the exit status */
  function explain(error: unknown): number {
    // The parser has printed help or the version.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const shown = error instanceof CommanderError ? usageError(error) : error;
    output.failure(shown);
    return exitCodeOf(shown);
  }
}

function usageError({ message }: CommanderError): GantryError {
  return new GantryError('USAGE', { message: message.replace(/^error: /, ''), hint: 'gantry-fleet help shows the commands.' });
}
