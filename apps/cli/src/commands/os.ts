import type { CheckOptions } from '../actions/os.ts';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs, withOsPath, withScripts } from './common.ts';

export function addOsCommands(program: Command, surroundings: Surroundings): void {
  const os = program.command('os').description('OS definitions: what is there, and whether it is sound.');
  addListCommand(os, surroundings);
  addShowCommand(os, surroundings);
  addCheckCommand(os, surroundings);
}

function addListCommand(os: Command, surroundings: Surroundings): void {
  const command = withOsPath(
    newCommand(os, 'list', 'List every OS definition on the search path, broken ones too.', [
      'gantry os list',
      'gantry os list --os-path /srv/os',
    ]),
  );
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/os.ts')).listDefinitions);
}

function addShowCommand(os: Command, surroundings: Surroundings): void {
  const command = withOsPath(
    newCommand(os, 'show <name>', 'Show one OS definition: variants, parameters, hypervisors, operations.', [
      'gantry os show debootstrap',
      'gantry os show raw',
    ]),
  );
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/os.ts')).showDefinitionOf);
}

function addCheckCommand(os: Command, surroundings: Surroundings): void {
  const command = withScripts(
    newCommand(os, 'check <name>', 'Check an OS definition, and parameters against it with its verify script.', [
      'gantry os check debootstrap+bookworm',
      'gantry os check image -O filesystem=ext4 -O suite=bookworm',
    ]),
  ).option('-O, --parameter <name=value>', 'an OS parameter; may repeat', collectParameters);
  runs<CheckOptions>(command, surroundings, async () => (await import('../actions/os.ts')).checkDefinition);
}

function collectParameters(text: string, previous: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be name=value.');
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}
