import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description: 'Print the JSON Schema of instance files, or with "config" that of gantry.yaml, for editors.',
  arguments: ['[document]'],
  options: {},
  examples: ['gantry schema > instance.schema.json', 'gantry schema config > gantry.schema.json'],
  run: async (session, args) => (await import('../runs/schema.ts')).run(session, args),
});

export default command;
