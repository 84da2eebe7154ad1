import { InvalidArgumentError } from 'commander';
import { checkOs } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import type { OptionSpec } from '../command-line/options.ts';
import { SCRIPTS } from '../command-line/options.ts';

const parameter: OptionSpec<Readonly<Record<string, string>> | undefined> = {
  flags: '-O, --parameter <name=value>',
  description: 'an OS parameter; may repeat',
  parse: (text, previous) => {
    const at = text.indexOf('=');
    if (at < 1) throw new InvalidArgumentError('It must be name=value.');
    return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
  },
};

const command: CommandModule = defineCommand({
  arguments: ['<name>'],
  options: { ...SCRIPTS, parameter },
  examples: ['gantry os check debootstrap+bookworm', 'gantry os check image -O filesystem=ext4 -O suite=bookworm'],
  run: async (session, [name], { parameter: parameters = {} }) => {
    await checkOs({ ...session.operation, os: name, parameters });
    const names = Object.keys(parameters);
    session.output.result(
      { operation: 'os-check', os: name, parameters: names },
      `${name} is valid${names.length === 0 ? '' : `, with ${names.length === 1 ? '1 parameter' : `${names.length} parameters`}`}`,
    );
  },
});

export default command;
