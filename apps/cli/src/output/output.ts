import type { GantryEvent } from '@gantry/core';
import { createHumanOutput } from './human.ts';
import { createJsonOutput } from './json.ts';

/** Where a command says what it does and what came of it. Two readers of the same events: humans and programs. */
export interface Output {
  readonly event: (event: GantryEvent) => void;
  /** A remark for whoever sits at the terminal. */
  readonly note: (message: string) => void;
  /** What came of the command: `value` for programs, `text` for humans; both are the last of stdout. */
  readonly result: (value: Readonly<Record<string, unknown>>, text: string) => void;
  readonly failure: (error: unknown) => void;
  readonly close: () => void;
}

export interface OutputOptions {
  readonly json: boolean;
  /** Errors and results alone. */
  readonly quiet: boolean;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

export async function createOutput(options: OutputOptions): Promise<Output> {
  return options.json ? createJsonOutput(options) : await createHumanOutput(options);
}
