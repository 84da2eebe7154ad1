import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Bring back exports that were removed from a bucket that keeps versions: one, or all of an instance. Without a name, only list them. Dumps of other exports that they need come back too.',
  arguments: ['<store>', '[export]'],
  options: { dryRun: flag('--dry-run', 'only show what would be brought back') },
  examples: [
    "gantry undelete 's3://backups/exports?region=eu-central-1'",
    "gantry undelete 's3://backups/exports?region=eu-central-1' web1.example.com@20261123T081500Z",
  ],
  run: async (...call) => (await import('../runs/undelete.ts')).run(...call),
});

export default command;
