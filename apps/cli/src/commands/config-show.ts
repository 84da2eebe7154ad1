import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { text } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Show every value of gantry.yaml with the file and line it comes from. With a store or a policy: what counts for exports, and which option, variable, group or built-in default says it.',
  arguments: ['[store]'],
  options: { policy: text('--policy <policy>', 'what counts for exports of this policy, into that store or into each of its own') },
  examples: [
    'gantry config show',
    'gantry config show nightly',
    'gantry config show --policy web',
    'gantry config show --config ./gantry.yaml',
  ],
  run: async (...call) => (await import('../runs/config-show.ts')).run(...call),
});

export default command;
