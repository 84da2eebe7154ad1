import { resolve } from 'node:path';
import type { DiskCheck } from '@gantry/core';
import { checkSnapshots, ERROR_EXIT_CODES, readSnapshotConfig } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { wholeNumbers } from '../command-line/options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Say which snapshots an export would take of the disks of an instance, and why not others. Takes none. The exit status is 5 where an export would fail for lack of one.',
  arguments: ['<instance>'],
  options: { ...SNAPSHOTS, disk: wholeNumbers('--disk <n>', 'look only at this disk') },
  examples: ['gantry snapshots check web1.yaml', 'gantry snapshots check web1.yaml --snapshot-size 5G --json'],
  run: async (session, [named], options) => {
    const { signal, cwd } = session;
    const { instance } = await session.describe(named);
    const snapshotConfig =
      options.snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(cwd, options.snapshotConfig));
    const { snapshot, snapshotSize, disk: disks } = options;
    const check = await checkSnapshots({ instance, snapshot, snapshotConfig, snapshotSize, disks, signal });
    const possible = check.problems.length === 0 && check.disks.every(({ provider }) => provider !== undefined);
    if (!possible) session.exitWith(ERROR_EXIT_CODES.SNAPSHOT_UNSUPPORTED);
    const lines = [...check.disks.flatMap(describeDisk), ...check.problems.map((problem) => `not possible together: ${problem}`)];
    session.output.result({ operation: 'snapshots-check', instance: instance.name, possible, ...check }, lines);
  },
});

export default command;

function describeDisk({ disk, target, provider, what, others }: DiskCheck): readonly string[] {
  return [
    `disk ${disk} (${target}): ${provider === undefined ? 'no snapshot is possible' : provider}: ${what}`,
    ...others.map((other) => `  ${other.possible ? 'possible too' : 'not'}: ${other.provider}: ${other.what}`),
  ];
}
