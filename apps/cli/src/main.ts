import process from 'node:process';
import { GantryError } from '@gantry/core';
import { CommanderError } from 'commander';
import { exitCodeOf } from './exit-code.ts';
import { createOutput } from './output/output.ts';
import { createProgram } from './program.ts';
import { catchSignals } from './signals.ts';

// The published form is a script, not a module, and scripts await inside of functions alone.
void main();

async function main(): Promise<void> {
  // A reader that went away (`gantry list | head`, a closed terminal) is no reason to stop cleaning up.
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') process.once('exit', () => tellLost(error));
  });

  const json = process.argv.includes('--json');
  const quiet = process.argv.includes('--quiet') || process.argv.includes('-q');
  const output = await createOutput({ json, quiet, stdout: process.stdout, stderr: process.stderr });
  // What nobody was left to hear of is a defect: told as one, without a stack. The next run clears what is left.
  process.on('uncaughtException', (error) => {
    output.failure(error);
    process.exit(exitCodeOf(error));
  });
  using signals = catchSignals((message) => output.note(message));

  try {
    await createProgram({ output, signal: signals.signal, env: process.env, cwd: currentDirectory() }).parseAsync(process.argv);
    process.exitCode = 0;
  } catch (error) {
    // Commander has shown the help, the version or the usage error itself.
    if (!(error instanceof CommanderError)) output.failure(error);
    else if (json && error.exitCode !== 0) output.failure(asUsageError(error));
    process.exitCode = exitCodeOf(error);
  } finally {
    output.close();
  }
}

/** What commander refused, for programs. */
function asUsageError({ code, message }: CommanderError): GantryError {
  const text = code === 'commander.help' ? 'no command was given' : message.replace(/^error: /, '');
  return new GantryError('USAGE', { message: text, hint: 'gantry help shows the commands; gantry help COMMAND shows one.' });
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
