import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { text } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Print what the last word of a call may become: a line with the kind of paths that fit too and the word, then one for each suggestion with a description, with tabs in between. It asks stores and inventories for at most 2 s, never asks on the terminal, and prints nothing about failures.',
  arguments: ['[word...]'],
  options: { line: text('--line <text>', 'instead of words: the line of a shell up to the cursor, which starts with the command') },
  examples: ['gantry complete -- export web1.yaml /srv/exports --co', "gantry complete --line 'gantry show /srv/exports we'"],
  run: async (...call) => (await import('../runs/complete.ts')).run(...call),
});

export default command;
