import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description:
    'Check gantry.yaml, and everything it names: open each store and source of instances, look for the programs and files. Nothing is written. The exit status is that of the first failure.',
  arguments: [],
  options: {},
  examples: ['gantry config check', 'gantry config check --config ./gantry.yaml', 'gantry config check --json'],
  run: async (session) => (await import('../runs/config-check.ts')).run(session),
});

export default command;
