import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  arguments: ['<store>', '<export>'],
  options: {},
  examples: ['gantry show /srv/exports web1.example.com', 'gantry show /srv/exports web1.example.com@20261123T081500Z --json'],
  run: async (session, args) => (await import('../runs/show.ts')).run(session, args),
});

export default command;
