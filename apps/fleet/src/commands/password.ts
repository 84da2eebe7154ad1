import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { GantryError } from '@gantry/core';
import { askForSecret } from '@gantry/transport';
import type { Context } from '../command-line/context.ts';
import { writePasswordFile } from '../web/password.ts';

interface PasswordOptions {
  readonly stdin?: true;
}

/** Runs `gantry-fleet password`: asks for a password, and writes a file that knows it when it sees it. */
export async function runPassword(context: Context, file: string, { stdin }: PasswordOptions): Promise<void> {
  const path = resolve(context.cwd, file);
  await writePasswordFile(path, stdin === true ? (await text(context.stdin)).replace(/\r?\n$/, '') : await askTwice(context.signal));
  context.output.result({ operation: 'password', file: path }, [path]);
}

async function askTwice(signal: AbortSignal): Promise<string> {
  const first = await askForSecret('Password of the pages of the fleet');
  const second = first === undefined ? undefined : await askForSecret('The same password again');
  signal.throwIfAborted();
  if (first === undefined || second === undefined) {
    throw new GantryError('USAGE', { message: 'no password was given: it is asked for on a terminal', hint: 'Or give it with --stdin.' });
  }
  if (first !== second) throw new GantryError('USAGE', { message: 'the two passwords differ', hint: 'Run the command again.' });
  return first;
}
