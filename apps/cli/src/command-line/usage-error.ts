import { GantryError, nearestNames } from '@gantry/core';
import type { Command } from 'commander';
import type { ParseFailure } from './parse-failure.ts';

/** Names that other tools have for our commands. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  'store check': 'store conformance',
  check: 'verify',
  backup: 'export',
  delete: 'remove',
  dump: 'export',
  info: 'show',
  init: 'store init',
  install: 'create',
  ls: 'list',
  migrate: 'move',
  mv: 'move',
  restore: 'import',
  rm: 'remove',
  save: 'export',
  send: 'move',
  transfer: 'move',
};

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
  const other = OTHER_NAMES[`${path} ${name.toLowerCase()}`.trim()];
  const nearest = nearestNames(
    name,
    parent.commands.map((command) => command.name()),
  );
  const suggested = other === undefined ? nearest.map((word) => `${path} ${word}`.trim()) : [other];
  if (suggested.length === 0) return undefined;
  return `Did you mean ${suggested.map((words) => `gantry ${words}`).join(' or ')}?`;
}

function namesHint(command: Command): string | undefined {
  if (command.parent === null) return undefined;
  const names = command.commands.map((sub) => `gantry ${pathOf(sub)}`);
  return `Its commands: ${names.join(', ')}.`;
}

function suggestOption(command: Command, option: string): string | undefined {
  const known = [...command.options, ...(command.parent?.options ?? [])].flatMap(({ long }) => long ?? []);
  const suggested = nearestNames(option.replace(/=.*/s, ''), known);
  return suggested.length === 0 ? undefined : `Did you mean ${suggested.join(' or ')}?`;
}
