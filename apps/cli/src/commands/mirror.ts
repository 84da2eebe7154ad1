import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SIGNERS } from '../command-line/signature-options.ts';
import { CREATE_STORE, PARALLEL, RATE, flag, texts, wholeNumber } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Copy the exports that a store has and another one lacks. Nothing is removed, and exports older than the newest one of their instance there stay out, so that each store has its own retention.',
  arguments: ['<source>', '<target>'],
  options: {
    ...RATE,
    ...PARALLEL,
    ...CREATE_STORE,
    instance: texts('--instance <pattern>', 'only instances with this name, in which * stands for any characters'),
    newest: wholeNumber('--newest <n>', 'only the newest n exports of each instance'),
    tag: texts('--tag <tag>', 'of these, only exports with this tag, or with all of several'),
    withOlder: flag('--with-older', 'also exports that are older than the newest one of their instance there'),
    dryRun: flag('--dry-run', 'only show what would be copied'),
    ...SIGNERS,
  },
  examples: [
    'gantry mirror /srv/exports ssh://backup@vault/srv/exports --dry-run',
    'gantry mirror /srv/exports ssh://backup@vault/srv/exports --limit-rate 20M',
    "gantry mirror /srv/exports /mnt/usb/exports --instance 'web*' --newest 7",
  ],
  run: async (...call) => (await import('../runs/mirror.ts')).run(...call),
});

export default command;
