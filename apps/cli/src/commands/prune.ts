import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { KEEP } from '../command-line/keep-options.ts';
import { POLICY, flag } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Remove the exports that no option keeps, of every instance in the store or of one; the newest complete one always stays. Without such an option no export is removed. Dumps to which nothing refers any more are marked, and deleted by the next run.',
  arguments: ['<store>', '[instance]'],
  options: { ...KEEP, ...POLICY, dryRun: flag('--dry-run', 'only show what would be removed, and why the rest is kept') },
  examples: [
    'gantry prune /srv/exports --keep-daily 14 --keep-weekly 8 --keep-monthly 24 --dry-run',
    'gantry prune /srv/exports web1.example.com --keep-last 3 --keep-tag before-upgrade',
    'gantry prune nightly --policy web --dry-run',
    'gantry prune /srv/exports',
  ],
  run: async (...call) => (await import('../runs/prune.ts')).run(...call),
});

export default command;
