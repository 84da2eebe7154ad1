import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  arguments: [],
  options: {},
  examples: ['gantry schema > instance.schema.json'],
  run: async (session) => (await import('../runs/schema.ts')).run(session),
});

export default command;
