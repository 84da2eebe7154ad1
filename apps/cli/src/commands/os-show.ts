import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<name>'],
  options: OS_PATH,
  examples: ['gantry os show debootstrap', 'gantry os show raw'],
  run: async (session, args) => (await import('../runs/os-show.ts')).run(session, args),
});

export default command;
