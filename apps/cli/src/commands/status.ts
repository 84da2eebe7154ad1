import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag, STATE } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Show every instance of the policies in gantry.yaml: its last good export in each store, as the store has it now, how old that is against what the policy promises, and when the policy runs next. The exit status is 17 if one is late or lacks a good export, 8 if a store cannot be asked.',
  arguments: ['[policy...]'],
  options: {
    ...STATE,
    check: flag('--check', 'print one line with figures for Nagios, Icinga and the like, and end with 0, 1, 2 or 3 as their plugins do'),
  },
  examples: ['gantry status', 'gantry status web --json', 'gantry status --check'],
  run: async (...call) => (await import('../runs/status.ts')).run(...call),
});

export default command;
