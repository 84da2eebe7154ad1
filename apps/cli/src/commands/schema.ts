import { instanceJsonSchema } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  arguments: [],
  options: {},
  examples: ['gantry schema > instance.schema.json'],
  run: async (session) => {
    const schema = instanceJsonSchema();
    session.output.result({ operation: 'schema', schema }, JSON.stringify(schema, null, 2).split('\n'));
  },
});

export default command;
