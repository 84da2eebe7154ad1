import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag, text, UNSEAL } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<store>', '<export>'],
  options: {
    native: text('--native <name>', 'write this file of the native description to stdout, as it is'),
    instanceFile: flag('--instance-file', 'print the exported instance as an instance file, without private OS parameters'),
    ...UNSEAL,
  },
  examples: [
    'gantry show /srv/exports web1.example.com',
    'gantry show /srv/exports web1.example.com@20261123T081500Z --json',
    'gantry show /srv/exports web1.example.com --native domain.xml',
    'gantry show /srv/exports web1.example.com --instance-file',
  ],
  run: async (...call) => (await import('../runs/show.ts')).run(...call),
});

export default command;
