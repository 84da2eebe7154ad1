import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SCRIPTS, TARGETS, flag } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<instance>'],
  options: {
    ...SCRIPTS,
    ...TARGETS,
    reinstall: flag('--reinstall', 'tell the script that it reinstalls an existing instance'),
  },
  examples: ['gantry create web1.yaml', 'gantry create web1.yaml --reinstall'],
  run: async (...call) => (await import('../runs/create.ts')).run(...call),
});

export default command;
