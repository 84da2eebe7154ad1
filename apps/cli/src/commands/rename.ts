import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SCRIPTS, TARGETS } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description: 'Give the installed system its new name, with the rename script. The instance file is not changed.',
  arguments: ['<instance>', '<new-name>'],
  options: { ...SCRIPTS, ...TARGETS },
  examples: ['gantry rename web1.yaml web2.example.com'],
  run: async (...call) => (await import('../runs/rename.ts')).run(...call),
});

export default command;
