import type { Command } from 'commander';
import { CommanderError } from 'commander';

/** How the parser ended: with an invalid call, or with help or version, after which the process exits with 0. */
export class ParseFailure extends Error {
  override readonly name = 'ParseFailure';
  /** Commander's own code, such as `commander.unknownOption`. */
  readonly code: string;
  /** The command (or group) whose arguments were parsed. */
  readonly command: Command;
  readonly isHelp: boolean;

  constructor(error: CommanderError, command: Command) {
    super(error.message, { cause: error });
    this.code = error.code;
    this.command = command;
    this.isHelp = error.exitCode === 0;
  }

  static unknownCommand(parent: Command, name: string): ParseFailure {
    return new ParseFailure(new CommanderError(1, 'commander.unknownCommand', `error: unknown command '${name}'`), parent);
  }
}
