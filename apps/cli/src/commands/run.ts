import { parseDuration } from '@gantry/config/quantities';
import { InvalidArgumentError } from 'commander';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import type { OptionSpec } from '../command-line/options.ts';
import { CREATE_STORE, SCRIPTS, flag, text, texts } from '../command-line/options.ts';

const SKIP_NEWER: OptionSpec<number | undefined> = {
  flags: '--skip-newer <age>',
  description: 'leave out instances that have an export of at most this age in every store, such as 12h',
  parse: (value) => {
    const milliseconds = parseDuration(value);
    if (milliseconds !== undefined) return milliseconds;
    throw new InvalidArgumentError('It must be a duration such as 26h, 1d12h or 90min.');
  },
};

const command: CommandModule = defineCommand({
  description:
    'Run policies of gantry.yaml, one after the other: export their instances, then copy, verify and prune as they say. What fails does not stop the rest; the exit status is 16 if only a part was done.',
  arguments: ['[policies...]'],
  options: {
    ...SCRIPTS,
    all: flag('--all', 'all policies of the configuration'),
    instance: texts('--instance <pattern>', 'only instances with this name, in which * stands for any characters'),
    skipNewer: SKIP_NEWER,
    exportsOnly: flag(
      '--exports-only',
      'with one --instance: only export it; no copies, verification and retention, no record and no notification of the run',
    ),
    storeOnly: text(
      '--store-only <store>',
      'only copy into this store of the policy, or verify and prune it, by the exports that are there; no exports, no record and no notification of the run',
    ),
    again: flag('--again', 'also instances that have an export of the same window'),
    ignoreWindow: flag('--ignore-window', 'also outside of the window of the policy'),
    ...CREATE_STORE,
    dryRun: flag('--dry-run', 'only show what would be exported, copied and removed'),
  },
  examples: [
    'gantry run nightly',
    'gantry run nightly --dry-run',
    'gantry run --all --skip-newer 12h',
    'gantry run nightly --store-only vault',
    "gantry run nightly --instance 'web*' --ignore-window",
  ],
  run: async (...call) => (await import('../runs/run.ts')).run(...call),
});

export default command;
