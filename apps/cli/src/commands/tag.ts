import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { text, texts } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Change the tags and the note of an export. The export itself is not touched; credentials that may only add objects are enough.',
  arguments: ['<store>', '<export>'],
  options: {
    add: texts('--add <tag>', 'a tag that it gets: a word by which gantry prune --keep-tag keeps it'),
    remove: texts('--remove <tag>', 'a tag that it loses'),
    note: text('--note <text>', 'replaces its note, which gantry show shows; "" removes it'),
  },
  examples: [
    'gantry tag /srv/exports web1.example.com@20261123T081500Z --add before-upgrade',
    "gantry tag /srv/exports web1.example.com --remove before-upgrade --note 'upgraded to 13'",
  ],
  run: async (...call) => (await import('../runs/tag.ts')).run(...call),
});

export default command;
