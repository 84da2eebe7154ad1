import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description: 'Remove one export permanently. The id must be given.',
  arguments: ['<store>', '<export>'],
  options: {},
  examples: ['gantry remove /srv/exports web1.example.com@20261123T081500Z'],
  run: async (session, args) => (await import('../runs/remove.ts')).run(session, args),
});

export default command;
