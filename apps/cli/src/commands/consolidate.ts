import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { PARALLEL, RATE, UNSEAL } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Make a plain full export of one that shares frames with others. It gets a new id for the same time; the old export is removed when the new one is complete and checked.',
  arguments: ['<store>', '<export>'],
  options: { ...RATE, ...PARALLEL, ...UNSEAL },
  examples: ['gantry consolidate /srv/exports web1.example.com@20261123T081500Z'],
  run: async (...call) => (await import('../runs/consolidate.ts')).run(...call),
});

export default command;
