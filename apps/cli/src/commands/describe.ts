import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description: 'Print the instance file of an instance, from any inventory: what gantry export and the others take.',
  arguments: ['<instance>'],
  options: { withPrivate: flag('--with-private', 'print private OS parameters too') },
  examples: ['gantry describe /etc/gantry/instances/web1.yaml', 'gantry describe file:///etc/gantry/instances/web1.example.com'],
  run: async (...call) => (await import('../runs/describe.ts')).run(...call),
});

export default command;
