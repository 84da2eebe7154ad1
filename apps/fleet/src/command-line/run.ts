import { GantryError } from '@gantry/core';
import { exitCodeOf } from '@gantry/programs';
import { CommanderError } from 'commander';
import { createOutput } from './output.ts';
import { createProgram } from './program.ts';

/** What a call uses of its process. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** Runs a call of gantry-fleet. Never rejects. @returns the exit status */
export async function run(args: readonly string[], { env, cwd, signal, stdin, stdout, stderr }: Surroundings): Promise<number> {
  const output = createOutput({ json: args.includes('--json'), stdout, stderr });
  let exitCode = 0;
  const exitWith = (code: number): void => {
    exitCode = code;
  };
  try {
    await createProgram({ env, cwd, signal, stdin, output, exitWith }).parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    // The parser has printed help or the version.
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const shown = error instanceof CommanderError ? usageError(error) : error;
    output.failure(shown);
    return exitCodeOf(shown);
  }
}

function usageError({ code, message }: CommanderError): GantryError {
  // What the parser says where it would show the help of all commands.
  const text = code === 'commander.help' ? 'which command to run is missing' : message.replace(/^error: /, '');
  return new GantryError('USAGE', { message: text, hint: 'gantry-fleet help shows the commands.' });
}
