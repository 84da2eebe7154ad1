import process from 'node:process';
import { GantryError, asFirstError } from '@gantry/core';
import { laterFailures } from '@gantry/transport';
import { ParseFailure } from './command-line/parse-failure.ts';
import { createProgram } from './command-line/program.ts';
import { exitCodeOf } from './exit-code.ts';
import type { Output } from './output/output.ts';
import { createOutput } from './output/output.ts';
import { catchSignals } from './signals.ts';

// The published form is a script, not a module, and scripts await inside of functions alone.
void main();

async function main(): Promise<void> {
  // A reader that went away (`gantry list | head`, a closed terminal) is no reason to stop cleaning up.
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.once('exit', () => tellLost(error));
  });

  const args = process.argv.slice(2);
  const options = args.includes('--') ? args.slice(0, args.indexOf('--')) : args;
  const json = options.includes('--json');
  const quiet = options.includes('--quiet') || options.includes('-q');
  const live = process.stderr.isTTY && process.env['TERM'] !== 'dumb';
  const output = createOutput({ json, quiet, live, stdout: process.stdout, stderr: process.stderr });
  // What nobody was left to hear of is a defect: told as one, without a stack. The next run clears what is left.
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
    if (signals.signal.aborted) output.note('the work was already done: it counts, and the signal changes nothing');
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
    if (!(first instanceof GantryError)) for (const later of laterFailures(error)) output.warn(`after that: ${textOf(later)}`);
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

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whoever reads the result from a file must not take an empty or a cut one for all of it. */
function tellLost(error: Error): void {
  if (process.exitCode !== 0) return;
  const lost = new GantryError('PLATFORM', {
    message: `cannot write the result to standard output: ${error.message} (what was to be done is done)`,
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
      message: 'the current directory is not there any more: somebody removed it',
      hint: 'Change into a directory that is there.',
      cause,
    });
  }
}
