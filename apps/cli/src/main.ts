import process from 'node:process';
import { GantryError, asFirstError, errorText } from '@gantry/core';
import { catchSignals, exitCodeOf } from '@gantry/programs';
import { laterFailures } from '@gantry/transport';
import { ParseFailure } from './command-line/parse-failure.ts';
import { createProgram } from './command-line/program.ts';
import type { Output } from './output/output.ts';
import { createOutput } from './output/output.ts';

// The published form is a script, not a module, and a script cannot await at the top level.
void main();

async function main(): Promise<void> {
  // If the reader has gone away (`gantry list | head`, a closed terminal), cleaning up goes on.
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.once('exit', () => reportLostOutput(error));
  });

  const args = process.argv.slice(2);
  const options = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  const json = options.includes('--json');
  const quiet = options.includes('--quiet') || options.includes('-q');
  const live = process.stderr.isTTY && process.env['TERM'] !== 'dumb';
  const output = createOutput({ json, quiet, live, stdout: process.stdout, stderr: process.stderr });
  // An error that no code handled is a defect: it is shown as one, without a stack trace. The next run cleans up.
  process.on('uncaughtException', (error) => {
    output.failure(error);
    process.exit(exitCodeOf(error));
  });
  const signals = catchSignals((message) => output.note(message));

  let exitCode = 0;
  const exitWith = (code: number): void => {
    exitCode = code;
  };
  try {
    const context = { exitWith, output, json, quiet, signal: signals.signal, env: process.env, cwd: currentDirectory() };
    const program = await createProgram(args, context);
    await program.parseAsync(args, { from: 'user' });
    if (signals.signal.aborted && exitCode === 0) output.note('the signal came after the work was done: it changes nothing');
    process.exitCode = exitCode;
  } catch (error) {
    process.exitCode = await explain(error, output);
  } finally {
    signals.finish();
    output.close();
  }
}

/** Shows what a command failed with. @returns the exit code */
async function explain(error: unknown, output: Output): Promise<number> {
  if (!(error instanceof ParseFailure)) {
    const first = asFirstError(error);
    if (!(first instanceof GantryError)) for (const later of laterFailures(error)) output.warn(`after that: ${errorText(later)}`);
    output.failure(first);
    return exitCodeOf(first);
  }
  // The parser has printed the help or the version.
  if (error.isHelp) return 0;
  const { asUsageError } = await import('./command-line/usage-error.ts');
  const usageError = asUsageError(error);
  output.failure(usageError);
  return usageError.exitCode;
}

/** Makes the exit code say that the result is incomplete: its reader must not take a cut one for all of it. */
function reportLostOutput(error: Error): void {
  if (process.exitCode !== 0) return;
  const lost = new GantryError('PLATFORM', {
    message: `cannot write the result to standard output: ${error.message} (the work itself is done)`,
  });
  process.stderr.write(`gantry: ${lost.message} [${lost.code}]\n`);
  process.exitCode = lost.exitCode;
}

/** @throws GantryError `PLATFORM` */
function currentDirectory(): string {
  try {
    return process.cwd();
  } catch (cause) {
    throw new GantryError('PLATFORM', {
      message: 'cannot find the current directory: it has been removed',
      hint: 'Change to a directory that exists.',
      cause,
    });
  }
}
