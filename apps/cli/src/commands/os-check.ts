import { InvalidArgumentError } from 'commander';
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
  run: async (...call) => (await import('../runs/os-check.ts')).run(...call),
});

export default command;
