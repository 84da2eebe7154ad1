import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { RATE, UNSEAL } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Show for each disk which frames the second export has that the first lacks, and the other way round. Exports with frame maps are compared by these alone, others are read.',
  arguments: ['<store>', '<first>', '<second>'],
  options: { ...RATE, ...UNSEAL },
  examples: ['gantry diff /srv/exports web1.example.com@20261122T081500Z web1.example.com'],
  run: async (...call) => (await import('../runs/diff.ts')).run(...call),
});

export default command;
