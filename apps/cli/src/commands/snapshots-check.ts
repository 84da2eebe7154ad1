import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { POLICY, wholeNumbers } from '../command-line/options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Say which snapshots an export would take of the disks of an instance, and why not others. Takes none. The exit status is 5 where an export would fail for lack of one.',
  arguments: ['<instance>'],
  options: { ...SNAPSHOTS, disk: wholeNumbers('--disk <n>', 'look only at this disk'), ...POLICY },
  examples: ['gantry snapshots check web1.yaml', 'gantry snapshots check web1.yaml --snapshot-size 5G --json'],
  run: async (...call) => (await import('../runs/snapshots-check.ts')).run(...call),
});

export default command;
