import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: [],
  options: OS_PATH,
  examples: ['gantry os list', 'gantry os list --os-path /srv/os'],
  run: async (session) => (await import('../runs/os-list.ts')).run(session),
});

export default command;
