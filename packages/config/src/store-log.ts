import { constants, openSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { GantryError, errorText } from '@gantry/core';
import type { LogEntry } from '@gantry/transport';

export interface StoreLogContext {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly warn: (message: string) => void;
}

/**
 * The log of store calls that `GANTRY_STORE_LOG` asks for: one JSON object per line, with keys and numbers but no stored data.
 * Undefined if it is not set. The file stays open as long as the process lives.
 *
 * @throws GantryError `USAGE` if the file cannot be opened
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
      // A failing log does not mean that the store fails.
      failed = true;
      warn(`cannot write to the log ${path}, so logging ends: ${errorText(error)}`);
    }
  };
}

function openForAppending(path: string): number {
  try {
    // O_NONBLOCK: does not wait for the reader of a named pipe.
    return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK, 0o600);
  } catch (cause) {
    throw new GantryError('USAGE', {
      message: `cannot write the log ${path}: ${errorText(cause)}`,
      hint: 'Set GANTRY_STORE_LOG to a file that can be written, or unset it.',
      cause,
    });
  }
}
