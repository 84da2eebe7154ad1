import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description:
    'Print the JSON Schema of instance files, with "config" that of gantry.yaml, for editors, or with "output" that of a line of --json.',
  arguments: ['[document]'],
  options: {},
  examples: [
    'gantry schema > instance.schema.json',
    'gantry schema config > gantry.schema.json',
    'gantry schema output > output.schema.json',
  ],
  run: async (session, args) => (await import('../runs/schema.ts')).run(session, args),
});

export default command;
