import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description:
    'List the exports in a store and show which are damaged or unfinished. It checks names and sizes of the files and reads no dump: gantry verify does. The exit status is 7 if an export is damaged.',
  arguments: ['<store>', '[instance]'],
  options: {},
  examples: ['gantry list /srv/exports', 'gantry list /srv/exports web1.example.com --json'],
  run: async (session, args) => (await import('../runs/list.ts')).run(session, args),
});

export default command;
