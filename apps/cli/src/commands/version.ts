import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description:
    'Show the version of Gantry, of the protocol of moves, of each format that it reads and writes, and of Node and the libraries that it runs on.',
  arguments: [],
  options: {},
  examples: ['gantry version', 'gantry version --json'],
  run: async (session) => (await import('../runs/version.ts')).run(session),
});

export default command;
