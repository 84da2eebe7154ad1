import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { PARALLEL, RATE } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<store>', '<export>'],
  options: { ...RATE, ...PARALLEL },
  examples: ['gantry verify /srv/exports web1.example.com', 'gantry verify /srv/exports web1.example.com@20261123T081500Z'],
  run: async (...call) => (await import('../runs/verify.ts')).run(...call),
});

export default command;
