import { constants, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { GantryError } from '@gantry/core';
import type { LogEntry } from '@gantry/transport';

export interface StoreLogContext {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly warn: (message: string) => void;
}

/**
 * Where `GANTRY_STORE_LOG` says that calls of stores are logged: one JSON object a line, with keys and numbers and nothing of what is
 * stored. Undefined where it is not set. The file stays open as long as the process lives.
 *
 * @throws GantryError `USAGE` where the file cannot be opened
 */
export function openStoreLog({ env, cwd, warn }: StoreLogContext): ((entry: LogEntry) => void) | undefined {
  const name = env['GANTRY_STORE_LOG'] ?? '';
  if (name === '') return undefined;
  const path = resolve(cwd, name);
  const file = openForAppending(path);
  let failed = false;
  return (entry) => {
    if (failed) return;
    try {
      writeSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...entry })}\n`);
    } catch (error) {
      // A log that fails is not a store that fails.
      failed = true;
      warn(`cannot go on with the log ${path}: ${textOf(error)}`);
    }
  };
}

function openForAppending(path: string): number {
  try {
    // Does not wait for the reader of a named pipe.
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK, 0o600);
  } catch (cause) {
    throw new GantryError('USAGE', {
      message: `cannot write the log ${path}: ${textOf(cause)}`,
      hint: 'GANTRY_STORE_LOG names a file; unset it to log nothing.',
      cause,
    });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
