import { parseBudget } from '@gantry/config/quantities';
import type { VerifyBudget, VerifyDepth } from '@gantry/core';
import { InvalidArgumentError } from 'commander';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SIGNERS } from '../command-line/signature-options.ts';
import type { OptionSpec } from '../command-line/options.ts';
import { PARALLEL, POLICY, RATE, SCRIPTS, text, UNSEAL } from '../command-line/options.ts';

/** Core is not loaded for help: what it knows is repeated, and the type compares both. */
const DEPTHS = { present: true, stored: true, frames: true } satisfies Record<VerifyDepth, true>;

const DEPTH: OptionSpec<VerifyDepth | undefined> = {
  flags: '--depth <depth>',
  description:
    'present: names and sizes; stored: SHA-256 of all that is stored; frames: every frame decoded (default frames, of a store: stored)',
  choices: Object.keys(DEPTHS),
};

const BUDGET: OptionSpec<VerifyBudget | undefined> = {
  flags: '--budget <size>',
  description: 'of a store: read about that much, such as 20GiB or 5%, and begin with what was not verified for the longest time',
  parse: (value) => {
    const budget = parseBudget(value);
    if (budget !== undefined) return budget;
    throw new InvalidArgumentError('It must be a size such as 500M or 20GiB, or a share from above 0% to 100%.');
  },
};

const command: CommandModule = defineCommand({
  description:
    'Verify one export, or all exports of a store. What was found is remembered, and gantry list shows it. The exit status is 7 if something is damaged.',
  arguments: ['<store>', '[export]'],
  options: {
    ...SCRIPTS,
    ...RATE,
    ...PARALLEL,
    depth: DEPTH,
    budget: BUDGET,
    rehearse: text(
      '--rehearse <directory>',
      'instead: import through the import scripts into scratch disks in this directory, and export these again',
    ),
    ...POLICY,
    ...UNSEAL,
    ...SIGNERS,
  },
  examples: [
    'gantry verify /srv/exports web1.example.com',
    'gantry verify /srv/exports web1.example.com@20261123T081500Z --depth stored',
    'gantry verify /srv/exports',
    'gantry verify /srv/exports --budget 5%',
    'gantry verify /srv/exports web1.example.com --identity key.txt',
    'gantry verify /srv/exports web1.example.com --allowed-signers /etc/gantry/allowed-signers',
    'gantry verify nightly --policy web',
    'gantry verify /srv/exports web1.example.com --rehearse /var/tmp',
  ],
  run: async (...call) => (await import('../runs/verify.ts')).run(...call),
});

export default command;
