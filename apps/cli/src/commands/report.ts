import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { requiredText, STATE } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Write one HTML page about everything in one or more stores: the instances, their exports on a time line, sizes, growth, ages, verifications, and what is protected. It needs no other file and no network.',
  arguments: ['<store>', '[more...]'],
  options: { ...STATE, out: requiredText('--out <file>', 'where to write the page; an earlier one is replaced') },
  examples: ['gantry report /srv/exports --out report.html', 'gantry report nightly shelf --out /var/www/html/gantry.html'],
  run: async (...call) => (await import('../runs/report.ts')).run(...call),
});

export default command;
