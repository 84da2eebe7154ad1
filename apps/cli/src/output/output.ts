import type { GantryEvent } from '@gantry/core';
import { createHumanOutput } from './human.ts';
import { createJsonOutput } from './json.ts';

/** One or more lines. Line ends in the data do not start new lines. */
export type Lines = string | readonly string[];

/** Where a command reports its progress and result, for people or for programs. */
export interface Output {
  readonly event: (event: GantryEvent) => void;
  /** A remark for the user at the terminal; left out with --quiet. */
  readonly note: (message: Lines) => void;
  /** Something the user should know although nothing failed. */
  readonly warn: (message: string) => void;
  /** A question to the user, or text that belongs to it. */
  readonly ask: (message: Lines) => void;
  /** The command's result: `value` for programs, `text` for people. It is the last output on stdout. */
  readonly result: (value: Readonly<Record<string, unknown>>, text: Lines) => void;
  /** The command's result as bytes, which are written as they are; `value` for programs. */
  readonly bytes: (value: Readonly<Record<string, unknown>>, bytes: Uint8Array) => void;
  readonly failure: (error: unknown) => void;
  readonly close: () => void;
}

export interface OutputOptions {
  readonly json: boolean;
  /** Only results, warnings and errors. */
  readonly quiet: boolean;
  /** Whether stderr is a terminal whose lines can be redrawn. */
  readonly live: boolean;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

export function createOutput(options: OutputOptions): Output {
  return options.json ? createJsonOutput(options) : createHumanOutput(options);
}
