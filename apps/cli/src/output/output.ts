import type { GantryEvent } from '@gantry/core';
import { createHumanOutput } from './human.ts';
import { createJsonOutput } from './json.ts';

/** One line, or some. What is data from elsewhere cannot make a line of its own. */
export type Lines = string | readonly string[];

/** Where a command says what it does and what came of it. Two readers of the same events: humans and programs. */
export interface Output {
  readonly event: (event: GantryEvent) => void;
  /** A remark for the human at the terminal; left out where only results are wanted. */
  readonly note: (message: Lines) => void;
  /** What the human should know although nothing failed. */
  readonly warn: (message: string) => void;
  /** A question to the human, or what belongs to it. */
  readonly ask: (message: Lines) => void;
  /** What came of the command: `value` for programs, `text` for humans; both are the last of stdout. */
  readonly result: (value: Readonly<Record<string, unknown>>, text: Lines) => void;
  readonly failure: (error: unknown) => void;
  readonly close: () => void;
}

export interface OutputOptions {
  readonly json: boolean;
  /** Results, warnings and errors alone. */
  readonly quiet: boolean;
  /** Whether stderr is a terminal whose lines can be drawn again. */
  readonly live: boolean;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

export function createOutput(options: OutputOptions): Output {
  return options.json ? createJsonOutput(options) : createHumanOutput(options);
}
