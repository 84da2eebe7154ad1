import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description: 'Remove one export permanently. The id must be given.',
  arguments: ['<store>', '<export>'],
  options: { dryRun: flag('--dry-run', 'only show what would be removed, and what other exports still need') },
  examples: [
    'gantry remove /srv/exports web1.example.com@20261123T081500Z --dry-run',
    'gantry remove /srv/exports web1.example.com@20261123T081500Z',
  ],
  run: async (...call) => (await import('../runs/remove.ts')).run(...call),
});

export default command;
