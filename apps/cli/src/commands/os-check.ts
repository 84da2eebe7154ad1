import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PARAMETERS, SCRIPTS } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<name>'],
  options: { ...SCRIPTS, ...OS_PARAMETERS },
  examples: ['gantry os check debootstrap+bookworm', 'gantry os check image -O filesystem=ext4 -O suite=bookworm'],
  run: async (...call) => (await import('../runs/os-check.ts')).run(...call),
});

export default command;
