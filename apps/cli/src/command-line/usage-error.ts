import { GantryError, nearestNames } from '@gantry/core';
import type { Command } from 'commander';
import { COMMANDS_OF_OTHERS, OPTIONS_OF_OTHERS, suggestionsFor } from './names-of-others.ts';
import type { ParseFailure } from './parse-failure.ts';

/** A parser error in the form of Gantry's other errors. */
export function asUsageError({ code, message, command }: ParseFailure): GantryError {
  const path = pathOf(command);
  const help =
    path === ''
      ? 'gantry help shows the commands; gantry help COMMAND shows one with its options and examples.'
      : `gantry help ${path} shows its options and examples.`;
  switch (code) {
    case 'commander.help':
      return usageError(path === '' ? 'no command given' : `gantry ${path}: no command given`, namesHint(command) ?? help);
    case 'commander.unknownCommand': {
      const [, name = ''] = /unknown command '(.*)'$/s.exec(message) ?? [];
      return usageError(
        `unknown command ${JSON.stringify(`${path} ${name}`.trim())}`,
        suggestCommand(command, name) ?? namesHint(command) ?? help,
      );
    }
    case 'commander.unknownOption': {
      const [, option = ''] = /unknown option '(.*)'$/s.exec(message) ?? [];
      return usageError(`unknown option ${JSON.stringify(option)}`, suggestOption(command, option) ?? help);
    }
    default:
      return usageError(
        message
          .replace(/^error: /, '')
          .replace(/\.$/, '')
          .replaceAll('. ', ': '),
        help,
      );
  }
}

function usageError(message: string, hint: string): GantryError {
  return new GantryError('USAGE', { message, hint });
}

/** The words by which a command is called, without `gantry`. */
function pathOf(command: Command): string {
  return command.parent === null ? '' : `${pathOf(command.parent)} ${command.name()}`.trim();
}

function suggestCommand(parent: Command, name: string): string | undefined {
  const path = pathOf(parent);
  const others = suggestionsFor(`${path} ${name}`.trim(), COMMANDS_OF_OTHERS);
  const nearest = nearestNames(
    name,
    parent
      .createHelp()
      .visibleCommands(parent)
      .map((command) => command.name()),
  );
  return didYouMean(others.length > 0 ? others : nearest.map((word) => `${path} ${word}`.trim()));
}

/** What a group of commands is for, after a call that names none of them. */
function namesHint(command: Command): string | undefined {
  if (command.parent === null) return undefined;
  const names = command.commands.map((sub) => `gantry ${pathOf(sub)}`);
  const others = didYouMean(suggestionsFor(pathOf(command), COMMANDS_OF_OTHERS));
  return `${others === undefined ? '' : `${others} `}Its commands: ${names.join(', ')}.`;
}

function suggestOption(command: Command, option: string): string | undefined {
  const known = [...command.options, ...(command.parent?.options ?? [])].flatMap(({ long }) => long ?? []);
  const name = option.replace(/=.*/s, '');
  const others = suggestionsFor(name, OPTIONS_OF_OTHERS).filter((other) => known.includes(other));
  const suggested = others.length > 0 ? others : nearestNames(name, known);
  return suggested.length === 0 ? undefined : `Did you mean ${suggested.join(' or ')}?`;
}

function didYouMean(commands: readonly string[]): string | undefined {
  return commands.length === 0 ? undefined : `Did you mean ${commands.map((words) => `gantry ${words}`).join(' or ')}?`;
}
