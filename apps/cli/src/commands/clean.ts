import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { STATE, flag, texts } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['[store]'],
  options: {
    ...STATE,
    dryRun: flag('--dry-run', 'only show what would be removed'),
    export: texts('--export <export>', 'remove this unfinished export even if another host may still be writing it'),
  },
  examples: ['gantry clean --dry-run', 'gantry clean /srv/exports', 'gantry clean /srv/exports --export web1.example.com@20261123T081500Z'],
  run: async (...call) => (await import('../runs/clean.ts')).run(...call),
});

export default command;
