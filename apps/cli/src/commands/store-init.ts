import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description: 'Create a store, or mark a directory that already has exports as one. Exports are only written into a store.',
  arguments: ['<store>'],
  options: {},
  examples: ['gantry store init /srv/exports', "gantry store init 's3://backups/exports?region=eu-central-1'"],
  run: async (session, args) => (await import('../runs/store-init.ts')).run(session, args),
});

export default command;
