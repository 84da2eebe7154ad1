import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { texts } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description: 'List the instances that a source describes: a directory of instance files, or SCHEME: of an inventory that is installed.',
  arguments: ['<source>', '[pattern...]'],
  options: { tag: texts('--tag <tag>', 'only instances with this tag') },
  examples: ['gantry instances /etc/gantry/instances', "gantry instances /etc/gantry/instances 'web*' db1.example.com --tag prod"],
  run: async (...call) => (await import('../runs/instances.ts')).run(...call),
});

export default command;
