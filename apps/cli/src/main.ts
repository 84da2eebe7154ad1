import process from 'node:process';
import { CommanderError } from 'commander';
import { exitCodeOf } from './exit-code.ts';
import { createOutput } from './output/output.ts';
import { createProgram } from './program.ts';
import { catchSignals } from './signals.ts';

// The published form is a script, not a module, and scripts await inside of functions alone.
void main();

async function main(): Promise<void> {
  // A reader that went away (`gantry list | head`, a closed terminal) is no reason to stop cleaning up.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

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
    await createProgram({ output, signal: signals.signal, env: process.env, cwd: process.cwd() }).parseAsync(process.argv);
    process.exitCode = 0;
  } catch (error) {
    // Commander has shown the help, the version or the usage error itself.
    if (!(error instanceof CommanderError)) output.failure(error);
    process.exitCode = exitCodeOf(error);
  } finally {
    output.close();
  }
}
